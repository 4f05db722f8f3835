// Numbers of files that were seen: 20 bytes each, where a std::set takes 48.
#pragma once

#include <bit>
#include <vector>

#include "formats/disks/filesystems/files.hpp"

namespace formats {

class IdSet {
 public:
  // False: it was there.
  bool insert(const filesystems::NodeId& id) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    if (!place(id)) return false;
    ++count_;
    return true;
  }
  [[nodiscard]] std::size_t size() const { return count_; }

 private:
  // No file is called so.
  static constexpr filesystems::NodeId none{~std::uint64_t{0}, ~std::uint64_t{0}};

  bool place(const filesystems::NodeId& id) {
    const std::uint64_t mixed = (id.number ^ std::rotl(id.tree, 29)) * 0x9e3779b97f4a7c15;
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = (mixed ^ (mixed >> 32)) & mask;; at = (at + 1) & mask) {
      if (slots_[at] == id) return false;
      if (slots_[at] != none) continue;
      slots_[at] = id;
      return true;
    }
  }

  void grow() {
    std::vector<filesystems::NodeId> old(std::max<std::size_t>(slots_.size() * 2, 1024), none);
    old.swap(slots_);
    for (const filesystems::NodeId& id : old) {
      if (id != none) (void)place(id);
    }
  }

  std::vector<filesystems::NodeId> slots_;
  std::size_t count_ = 0;
};

}  // namespace formats

// The entries of one folder in an image, kept: their names in one piece of memory, so that a folder
// that claims to have millions of them stays cheap.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/filesystems/files.hpp"

namespace imgtool {

class EntryList {
 public:
  // All of `folder`. Throws io::Error, also for a folder with more than 4 Mi entries, or with
  // names of more than 256 MiB.
  EntryList(formats::filesystems::FileTree& tree, formats::filesystems::NodeId folder,
            const std::string& image);

  void sort_by_name();

  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] formats::filesystems::Entry operator[](std::size_t index) const {
    const Kept& kept = entries_[index];
    return {name_of(kept), kept.id};
  }

 private:
  struct Kept {
    std::uint32_t begin;
    std::uint32_t length;
    formats::filesystems::NodeId id;
  };
  [[nodiscard]] std::string_view name_of(const Kept& kept) const {
    return std::string_view(names_).substr(kept.begin, kept.length);
  }

  std::string names_;
  std::vector<Kept> entries_;
};

}  // namespace imgtool

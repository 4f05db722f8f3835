// What every change of a qcow2 image in place begins with: whether it may be changed, and its
// tables as words.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/images/qcow2/entries.hpp"
#include "formats/images/qcow2/header.hpp"
#include "io/file.hpp"
#include "io/observer.hpp"

namespace formats::qcow2 {

// Throws ErrorKind::refused for an image that is marked as damaged or was not closed, with the
// command that mends it. Throws Error where the header is damaged.
[[nodiscard]] Header read_editable(const io::File& file);

// Clusters are taken and given away by the refcounts, so these have to be right: throws
// ErrorKind::refused where a check finds corruptions or what it cannot check. Leaks do no harm.
void refuse_damaged(const io::File& file, const io::StopFlag& stop);

[[nodiscard]] L2Rules rules_of(const Header& header);

// A table of big-endian words. Throws Error where the file ends inside it.
[[nodiscard]] std::vector<std::uint64_t> read_words(const io::File& file, HostOffset offset,
                                                    std::uint64_t count);
[[nodiscard]] std::vector<std::byte> bytes_of(const std::vector<std::uint64_t>& words);
void write_words(const io::File& file, HostOffset offset, const std::vector<std::uint64_t>& words);

// An L2 table in memory.
class L2Words {
 public:
  // A new one describes nothing.
  explicit L2Words(const Geometry& geometry);
  // Checks every entry. Throws Error.
  L2Words(const io::File& file, HostOffset offset, const L2Rules& rules);

  [[nodiscard]] std::uint64_t size() const { return words_.size() / words_per_entry_; }
  [[nodiscard]] L2Entry at(std::uint64_t index) const;
  void set(std::uint64_t index, const L2Entry& entry);
  [[nodiscard]] const std::vector<std::uint64_t>& words() const { return words_; }

 private:
  std::uint64_t words_per_entry_;
  std::vector<std::uint64_t> words_;
};

}  // namespace formats::qcow2

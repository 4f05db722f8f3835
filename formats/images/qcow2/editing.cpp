#include "formats/images/qcow2/editing.hpp"

#include <fmt/format.h>

#include "formats/bytes/big_endian.hpp"
#include "formats/images/qcow2/check.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {

Header read_editable(const io::File& file) {
  Header header = read_header(file);
  if (header.corrupt || header.dirty) {
    throw io::Error::refusal(file.path(),
                             "is marked as damaged or was not closed; repair it first (imgtool "
                             "check --repair all)");
  }
  return header;
}

void refuse_damaged(const io::File& file, const io::StopFlag& stop) {
  const CheckResult result = check(
      file, [](const std::string&) {}, stop);
  if (result.corruptions == 0 && result.errors == 0) return;
  throw io::Error::refusal(file.path(),
                           "is damaged (imgtool check says where); repair it first (imgtool check "
                           "--repair all)");
}

L2Rules rules_of(const Header& header) {
  return {header.geometry, header.version > 2, header.external_data};
}

std::vector<std::uint64_t> read_words(const io::File& file, HostOffset offset,
                                      std::uint64_t count) {
  std::vector<std::byte> bytes(count * 8);
  if (file.read_at(offset.value, bytes) != bytes.size()) {
    throw io::Error::format(file.path(), offset.value, "the file ends inside a table");
  }
  std::vector<std::uint64_t> words(count);
  for (std::size_t index = 0; index < count; ++index) {
    words[index] = load_big_endian<std::uint64_t>(bytes, index * 8);
  }
  return words;
}

std::vector<std::byte> bytes_of(const std::vector<std::uint64_t>& words) {
  std::vector<std::byte> bytes(words.size() * 8);
  for (std::size_t index = 0; index < words.size(); ++index) {
    store_big_endian<std::uint64_t>(bytes, index * 8, words[index]);
  }
  return bytes;
}

void write_words(const io::File& file, HostOffset offset, const std::vector<std::uint64_t>& words) {
  file.write_at(offset.value, bytes_of(words));
}

L2Words::L2Words(const Geometry& geometry)
    : words_per_entry_(geometry.l2_entry_bytes() / 8), words_(geometry.cluster_size() / 8) {}

L2Words::L2Words(const io::File& file, HostOffset offset, const L2Rules& rules)
    : words_per_entry_(rules.geometry.l2_entry_bytes() / 8),
      words_(read_words(file, offset, rules.geometry.cluster_size() / 8)) {
  for (std::uint64_t index = 0; index < size(); ++index) {
    const std::string fault = l2_fault(at(index), rules);
    if (fault.empty()) continue;
    throw io::Error::format(file.path(), offset.value + index * words_per_entry_ * 8, fault);
  }
}

L2Entry L2Words::at(std::uint64_t index) const {
  const std::uint64_t word = index * words_per_entry_;
  return {words_[word], words_per_entry_ == 2 ? words_[word + 1] : 0};
}

void L2Words::set(std::uint64_t index, const L2Entry& entry) {
  const std::uint64_t word = index * words_per_entry_;
  words_[word] = entry.word;
  if (words_per_entry_ == 2) words_[word + 1] = entry.subclusters;
}

}  // namespace formats::qcow2

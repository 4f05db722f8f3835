// A record of the MFT: the attributes of one file, or some of them. What is read here is checked:
// no attribute reaches out of its record, no value out of its attribute. Throws Doubt otherwise.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace formats::filesystems::ntfs {

inline constexpr std::uint32_t file_magic = 0x454c4946;  // "FILE"

enum class AttributeType : std::uint32_t {
  standard_information = 0x10,
  attribute_list = 0x20,
  file_name = 0x30,
  volume_name = 0x60,
  volume_information = 0x70,
  data = 0x80,
  index_root = 0x90,
  index_allocation = 0xa0,
  bitmap = 0xb0,
  reparse_point = 0xc0,
};

// Bits of Attribute::flags.
inline constexpr unsigned flag_compressed = 0x00ff, flag_encrypted = 0x4000, flag_sparse = 0x8000;

// In clusters of the attribute, from its first one on; -1 where there is none.
using Vcn = std::uint64_t;

struct Attribute {
  std::uint32_t type = 0;
  bool named = false;
  bool resident = true;
  std::span<const std::byte> name;  // UTF-16
  unsigned flags = 0;
  std::span<const std::byte> value;  // of a resident one

  // The others lie in clusters, a piece of which is told here.
  std::span<const std::byte> runs;
  Vcn lowest = 0;
  Vcn highest = 0;
  unsigned compression_bits = 0;  // of the clusters that are compressed together; 0: none are
  // Bytes; only in the first piece.
  std::uint64_t allocated = 0;
  std::uint64_t size = 0;
  std::uint64_t initialized = 0;

  [[nodiscard]] bool is(AttributeType wanted) const {
    return type == static_cast<std::uint32_t>(wanted);
  }
  [[nodiscard]] bool is_unnamed(AttributeType wanted) const { return is(wanted) && !named; }
};

// Writes without a power cut in between leave the same mark at the end of each 512 bytes of
// `block`. Puts back what the marks took the place of; false where they are not as they must be.
[[nodiscard]] bool undo_fixup(std::span<std::byte> block);

// Whether the record begins as one and is in use. Others are not looked at.
[[nodiscard]] bool in_use(std::span<const std::byte> record);

class Record {
 public:
  Record(Record&&) = default;
  Record& operator=(Record&&) = default;

  // `bytes` are as they are on the disk, and in use. `number` is for messages.
  Record(std::vector<std::byte> bytes, std::uint64_t number);

  [[nodiscard]] std::uint64_t number() const { return number_; }
  // Counted up when a record is used for another file.
  [[nodiscard]] std::uint16_t sequence() const;
  [[nodiscard]] unsigned links() const;
  [[nodiscard]] bool is_directory() const;
  // The record that this one continues; 0 for none (none continues record 0 but $MFT's own).
  [[nodiscard]] std::uint64_t base() const;
  // They point into the record.
  [[nodiscard]] const std::vector<Attribute>& attributes() const { return attributes_; }

  // Where the value of a resident one begins, in bytes from the record's begin.
  [[nodiscard]] std::size_t place_of(const Attribute& attribute) const {
    return static_cast<std::size_t>(attribute.value.data() - bytes_.data());
  }

  // The first one like this; null where there is none.
  [[nodiscard]] const Attribute* find(AttributeType type) const;

 private:
  [[noreturn]] void damaged(std::string_view what) const;
  void parse();
  Attribute parse_attribute(std::span<const std::byte> bytes) const;

  std::vector<std::byte> bytes_;
  std::uint64_t number_;
  std::vector<Attribute> attributes_;
};

}  // namespace formats::filesystems::ntfs

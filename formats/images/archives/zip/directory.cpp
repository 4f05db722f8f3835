#include "formats/images/archives/zip/directory.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::zip {
namespace {

constexpr std::uint32_t local_magic = 0x04034b50;
constexpr std::uint32_t entry_magic = 0x02014b50;
constexpr std::uint32_t end_magic = 0x06054b50;
constexpr std::uint32_t end64_magic = 0x06064b50;
constexpr std::uint32_t locator_magic = 0x07064b50;

constexpr std::size_t local_bytes = 30;
constexpr std::size_t entry_bytes = 46;
constexpr std::size_t end_bytes = 22;
constexpr std::size_t end64_bytes = 56;
constexpr std::size_t locator_bytes = 20;
constexpr std::size_t longest_comment = 0xffff;

// A directory of a million members; all of it is in memory while it is read.
constexpr std::uint64_t most_directory_bytes = 64 * io::MiB;

constexpr std::uint32_t in_zip64 = 0xffffffff;  // in place of a number that needs more bits
constexpr std::uint16_t zip64_extra = 1;
constexpr std::uint16_t encrypted_flag = 1;
constexpr std::uint16_t aes_method = 99;

std::uint16_t u16(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint16_t>(bytes, at);
}
std::uint32_t u32(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint32_t>(bytes, at);
}
std::uint64_t u64(std::span<const std::byte> bytes, std::size_t at) {
  return load_little_endian<std::uint64_t>(bytes, at);
}

[[noreturn]] void fail(const io::File& file, std::uint64_t offset, const std::string& text) {
  throw io::Error::format(file.path(), offset, text);
}

// What the end of the archive says of the directory.
struct End {
  std::uint64_t at = 0;  // behind the directory: this record, or the one of zip64
  std::uint64_t entries = 0;
  std::uint64_t bytes = 0;
  std::uint64_t offset = 0;  // of the directory, from the archive's beginning
};

// The record at the end of the file, before a comment that may be empty.
std::uint64_t find_end(const io::File& file, std::vector<std::byte>& record) {
  const std::uint64_t size = file.size();
  const std::uint64_t begin = size - std::min<std::uint64_t>(size, end_bytes + longest_comment);
  std::vector<std::byte> tail(size - begin);
  tail.resize(file.read_at(begin, tail));
  for (std::size_t left = tail.size(); left >= end_bytes; --left) {
    const std::size_t at = left - end_bytes;
    const auto found = std::span<const std::byte>(tail).subspan(at);
    if (u32(found, 0) != end_magic || u16(found, 20) > found.size() - end_bytes) continue;
    record.assign(found.begin(), found.begin() + end_bytes);
    return begin + at;
  }
  fail(file, size, "here should be the directory of a zip archive: it was cut short");
}

// Nothing: the archive has no zip64 record.
std::optional<End> read_end64(const io::File& file, std::uint64_t end_at) {
  std::array<std::byte, locator_bytes> locator{};
  if (end_at < locator_bytes) return std::nullopt;
  if (file.read_at(end_at - locator_bytes, locator) < locator_bytes ||
      u32(locator, 0) != locator_magic) {
    return std::nullopt;
  }
  const std::uint64_t last = end_at - locator_bytes;
  std::array<std::byte, end64_bytes> record{};
  // Where the locator says, or, with something before the archive, just before the locator.
  for (const std::uint64_t at : {u64(locator, 8), last - std::min<std::uint64_t>(last, 56)}) {
    if (at > last || last - at < end64_bytes) continue;
    if (file.read_at(at, record) < end64_bytes || u32(record, 0) != end64_magic) continue;
    if (u32(record, 16) != 0 || u32(record, 20) != 0 || u64(record, 24) != u64(record, 32)) {
      fail(file, at, "is one part of a zip archive of several; put them together first");
    }
    return End{at, u64(record, 32), u64(record, 40), u64(record, 48)};
  }
  fail(file, last, "the zip64 directory is not where this says");
}

End read_end(const io::File& file) {
  std::vector<std::byte> record;
  const std::uint64_t at = find_end(file, record);
  if (auto end = read_end64(file, at)) return *end;
  if (u16(record, 4) != 0 || u16(record, 6) != 0 || u16(record, 8) != u16(record, 10)) {
    fail(file, at, "is one part of a zip archive of several; put them together first");
  }
  return {at, u16(record, 10), u32(record, 12), u32(record, 16)};
}

// The entries, one after another.
class EntryReader {
 public:
  EntryReader(const io::File& file, std::span<const std::byte> bytes, std::uint64_t begin,
              std::uint64_t shift)
      : file_(file), bytes_(bytes), begin_(begin), shift_(shift) {}

  Member read() {
    const auto entry = rest();
    if (entry.size() < entry_bytes || u32(entry, 0) != entry_magic) {
      fail(file_, here(), "here should be an entry of the zip directory");
    }
    const std::size_t name = u16(entry, 28);
    const std::size_t extra = u16(entry, 30);
    const std::size_t whole = entry_bytes + name + extra + u16(entry, 32);
    if (whole > entry.size()) fail(file_, here(), "this entry of the zip directory is cut short");
    Member member;
    member.listed_at = here();
    const auto text = entry.subspan(entry_bytes, name);
    member.name.assign(reinterpret_cast<const char*>(text.data()), text.size());
    member.method = u16(entry, 10);
    member.encrypted = (u16(entry, 8) & encrypted_flag) != 0 || member.method == aes_method;
    member.crc = u32(entry, 16);
    member.packed_bytes = u32(entry, 20);
    member.size = u32(entry, 24);
    member.header_at = u32(entry, 42);
    take_zip64(member, entry.subspan(entry_bytes + name, extra));
    check_place(member);
    at_ += whole;
    return member;
  }

 private:
  [[nodiscard]] std::span<const std::byte> rest() const { return bytes_.subspan(at_); }
  [[nodiscard]] std::uint64_t here() const { return begin_ + at_; }

  // Holds those numbers that did not fit, in this order.
  void take_zip64(Member& member, std::span<const std::byte> extra) const {
    while (extra.size() >= 4) {
      const std::size_t length = u16(extra, 2);
      if (length > extra.size() - 4) break;
      auto field = extra.subspan(4, length);
      if (u16(extra, 0) == zip64_extra) {
        for (std::uint64_t* number : {&member.size, &member.packed_bytes, &member.header_at}) {
          if (*number != in_zip64) continue;
          if (field.size() < 8) fail(file_, here(), "the zip64 numbers of this entry are missing");
          *number = u64(field, 0);
          field = field.subspan(8);
        }
        return;
      }
      extra = extra.subspan(4 + length);
    }
  }

  void check_place(Member& member) const {
    const std::uint64_t room = begin_ - shift_;
    if (member.header_at > room || member.packed_bytes > room - member.header_at ||
        room - member.header_at - member.packed_bytes < local_bytes) {
      fail(file_, here(),
           fmt::format("this member of {} bytes at {} does not fit before the zip directory at {}",
                       member.packed_bytes, member.header_at, begin_));
    }
    member.header_at += shift_;
  }

  const io::File& file_;
  std::span<const std::byte> bytes_;
  std::uint64_t begin_;
  std::uint64_t shift_;  // what stands before the archive, such as a program that unpacks it
  std::size_t at_ = 0;
};

std::uint64_t data_begin(const io::File& file, const Member& member) {
  std::array<std::byte, local_bytes> header{};
  if (file.read_at(member.header_at, header) < local_bytes || u32(header, 0) != local_magic) {
    fail(file, member.header_at, "here should be the local header of a zip member");
  }
  return member.header_at + local_bytes + u16(header, 26) + u16(header, 28);
}

}  // namespace

bool has_magic(std::span<const std::byte> start) {
  return start.size() >= 4 && u32(start, 0) == local_magic;
}

Directory read_directory(const io::File& file) {
  const End end = read_end(file);
  if (end.bytes > end.at || end.offset > end.at - end.bytes) {
    fail(file, end.at,
         fmt::format("the zip directory of {} bytes at {} does not fit before this place",
                     end.bytes, end.offset));
  }
  if (end.bytes > most_directory_bytes || end.entries > end.bytes / entry_bytes) {
    fail(file, end.at,
         fmt::format("{} members in a zip directory of {} bytes are impossible, or too many",
                     end.entries, end.bytes));
  }
  Directory directory;
  directory.begin = end.at - end.bytes;
  std::vector<std::byte> bytes(end.bytes);
  if (file.read_at(directory.begin, bytes) < bytes.size()) fail(file, end.at, "was it changed?");
  EntryReader reader(file, bytes, directory.begin, directory.begin - end.offset);
  directory.members.reserve(end.entries);
  for (std::uint64_t i = 0; i < end.entries; ++i) directory.members.push_back(reader.read());
  return directory;
}

io::ByteRange data_of(const io::File& file, const Directory& directory, const Member& member) {
  const io::ByteRange data{data_begin(file, member), member.packed_bytes};
  std::uint64_t limit = directory.begin;
  for (const Member& other : directory.members) {
    if (&other == &member) continue;
    if (other.header_at >= member.header_at) {
      limit = std::min(limit, other.header_at);
    } else if (other.packed_bytes > member.header_at - other.header_at) {
      limit = 0;
    }
  }
  if (data.offset > limit || data.length > limit - data.offset) {
    fail(file, member.listed_at,
         fmt::format("the {} bytes of this member at {} go on into another member or the directory",
                     data.length, data.offset));
  }
  return data;
}

}  // namespace formats::zip

#include "formats/images/vmdk/sesparse.hpp"

#include <array>
#include <vector>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/block_owners.hpp"
#include "formats/images/table_pages.hpp"
#include "formats/images/vmdk/header.hpp"
#include "io/error.hpp"

namespace formats::vmdk {
namespace {

constexpr std::uint64_t const_magic = 0xcafebabe;
constexpr std::uint64_t volatile_magic = 0xcafecafe;
constexpr std::uint64_t sesparse_version = 0x2'0000'0001;
constexpr std::uint64_t sesparse_grain_bytes = 8 * sector;
constexpr std::uint64_t sesparse_table_bytes = 64 * sector;
constexpr std::uint64_t sesparse_table_entries = sesparse_table_bytes / 8;
constexpr std::uint64_t no_word = 0;

// Words of the header that does not change.
namespace sesparse_word {
constexpr std::size_t magic = 0;
constexpr std::size_t version = 1;
constexpr std::size_t capacity = 2;
constexpr std::size_t grain = 3;
constexpr std::size_t table = 4;
constexpr std::size_t volatile_header = 10;
constexpr std::size_t directory = 16;
constexpr std::size_t tables = 18;
constexpr std::size_t grains = 24;
}  // namespace sesparse_word

// The words of the header that changes.
constexpr std::size_t replay_word = 3;

struct SeSparseLayout {
  std::uint64_t size = 0;   // of the disk; all in bytes
  io::ByteRange directory;  // inside the file
  io::ByteRange tables;     // likewise
  std::uint64_t grains = 0;
};

class SeSparseHeader {
 public:
  explicit SeSparseHeader(const io::File& file) : file_(file), file_size_(file.size()) {}

  SeSparseLayout read() {
    read_words(0);
    expect(sesparse_word::magic, const_magic);
    expect(sesparse_word::version, sesparse_version);
    expect(sesparse_word::grain, sesparse_grain_bytes / sector);
    expect(sesparse_word::table, sesparse_table_bytes / sector);
    SeSparseLayout layout;
    constexpr std::uint64_t most_sectors = std::uint64_t{1} << 40;
    if (words_[sesparse_word::capacity] > most_sectors) fail(sesparse_word::capacity);
    layout.size = words_[sesparse_word::capacity] * sector;
    layout.directory = range(sesparse_word::directory);
    layout.tables = range(sesparse_word::tables);
    layout.grains = range(sesparse_word::grains).offset;
    check_volatile_header(range(sesparse_word::volatile_header).offset);
    return layout;
  }

 private:
  void read_words(std::uint64_t offset) {
    std::array<std::byte, sector> bytes{};
    if (file_.read_at(offset, bytes) < bytes.size()) {
      throw io::Error::format(file_.path(), offset, "the file ends inside a header");
    }
    for (std::size_t i = 0; i < words_.size(); ++i) {
      words_[i] = load_little_endian<std::uint64_t>(bytes, i * 8);
    }
  }

  [[noreturn]] void fail(std::size_t index) const {
    throw io::Error::format(file_.path(), index * 8,
                            fmt::format("the seSparse header says {:#x} here, which is not known "
                                        "or not in the file ({} bytes)",
                                        words_[index], file_size_));
  }
  void expect(std::size_t index, std::uint64_t value) const {
    if (words_[index] != value) fail(index);
  }

  // A place and a length.
  [[nodiscard]] io::ByteRange range(std::size_t index) const {
    const std::uint64_t sectors = file_size_ / sector;
    if (words_[index] > sectors) fail(index);
    // Grains need not be there yet.
    const std::uint64_t most = sectors - words_[index];
    if (words_[index + 1] > most && index != sesparse_word::grains) fail(index + 1);
    return {words_[index] * sector, std::min(words_[index + 1], most) * sector};
  }

  void check_volatile_header(std::uint64_t offset) {
    read_words(offset);
    if (words_[0] != volatile_magic) {
      throw io::Error::format(file_.path(), offset, "here should be the header that changes");
    }
    if (words_[replay_word] == 0) return;
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "was not closed: its journal has to be replayed, which ESXi does when it "
                    "opens it");
  }

  const io::File& file_;
  std::uint64_t file_size_;
  std::array<std::uint64_t, sector / 8> words_{};
};

class SeSparseMap final : public EntryMap {
 public:
  SeSparseMap(const io::File& file, const SeSparseLayout& layout)
      : EntryMap(layout.size, sesparse_grain_bytes),
        layout_(layout),
        pages_(file),
        owners_(file.path(), pages_.file_size(), sesparse_grain_bytes) {
    read_directory();
  }

 private:
  [[noreturn]] void fail(std::uint64_t entry_at, const std::string& text) const {
    throw io::Error::format(pages_.path(), entry_at, text);
  }

  [[nodiscard]] std::uint64_t word_at(std::uint64_t place) {
    return load_little_endian<std::uint64_t>(pages_.cached(place, 8), 0);
  }

  void read_directory() {
    constexpr std::uint64_t present = 0x1000'0000;
    const std::uint64_t count =
        io::align_up(block_count(), sesparse_table_entries) / sesparse_table_entries;
    if (count * 8 > layout_.directory.length || count * 8 > most_directory_bytes) {
      fail(layout_.directory.offset,
           fmt::format("a directory of {} bytes is too short for {} bytes of disk, or too long",
                       layout_.directory.length, guest_size()));
    }
    std::vector<bool> taken(layout_.tables.length / sesparse_table_bytes);
    tables_.resize(count);
    checked_.resize(count);
    for (std::uint64_t number = 0; number < count; ++number) {
      const std::uint64_t entry_at = layout_.directory.offset + number * 8;
      const std::uint64_t entry = word_at(entry_at);
      if (entry == no_word) continue;
      const std::uint64_t index = entry & 0xffffffff;
      if (entry >> 32 != present || index >= taken.size() || taken[index]) {
        fail(entry_at, fmt::format("table {} is said to be number {:#x}, which is not in the file, "
                                   "or is another one's",
                                   number, entry));
      }
      taken[index] = true;
      tables_[number] = layout_.tables.offset + index * sesparse_table_bytes;
    }
  }

  [[nodiscard]] static std::uint64_t kind_of(std::uint64_t entry) { return entry >> 60; }

  [[nodiscard]] std::uint64_t place_of(std::uint64_t entry) const {
    const std::uint64_t index = (entry >> 48 & 0xfff) | (entry & 0xffff'ffff'ffff) << 12;
    return layout_.grains + index * sesparse_grain_bytes;
  }

  void check_table(std::uint64_t number) {
    constexpr std::uint64_t stored = 3;
    for (std::uint64_t i = 0; i < sesparse_table_entries; ++i) {
      const std::uint64_t entry_at = tables_[number] + i * 8;
      const std::uint64_t entry = word_at(entry_at);
      if (kind_of(entry) > stored) {
        fail(entry_at, fmt::format("a grain's word is {:#018x}: there is no such kind", entry));
      }
      const std::uint64_t index = number * sesparse_table_entries + i;
      if (kind_of(entry) != stored || index >= block_count()) continue;
      const std::uint64_t place = place_of(entry);
      const std::uint64_t size = pages_.file_size();
      if (place >= size || content_of(index) > size - place) {
        fail(entry_at, fmt::format("grain {} is said to be at {}, but the file ends at {}: it was "
                                   "cut short",
                                   index, place, size));
      }
      if (!owners_.take({place, 1})) {
        fail(entry_at,
             fmt::format("grain {} is said to be at {}, where another one is", index, place));
      }
    }
    checked_[number] = true;
  }

  [[nodiscard]] StoredBlock block_at(std::uint64_t index) override {
    const std::uint64_t number = index / sesparse_table_entries;
    const std::uint64_t in_table = index % sesparse_table_entries;
    if (tables_[number] == 0) {
      StoredBlock block;
      block.alike = std::min(sesparse_table_entries - in_table, block_count() - index);
      return block;
    }
    if (!checked_[number]) check_table(number);
    const std::uint64_t entry = word_at(tables_[number] + in_table * 8);
    switch (kind_of(entry)) {
      case 0:
        return {BlockKind::absent};
      case 3:
        return {BlockKind::plain, place_of(entry)};
      default:  // unmapped, or zeros: never the parent's
        return {BlockKind::zero};
    }
  }

  SeSparseLayout layout_;
  TablePages pages_;
  std::vector<std::uint64_t> tables_;  // where each is, in bytes; 0: it has none
  std::vector<bool> checked_;
  ClusterOwners owners_;
};

}  // namespace

std::unique_ptr<BlockMap> open_sesparse_map(const io::File& file) {
  return std::make_unique<SeSparseMap>(file, SeSparseHeader(file).read());
}

}  // namespace formats::vmdk

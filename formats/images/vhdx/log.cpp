#include "formats/images/vhdx/log.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/crc32c.hpp"
#include "formats/bytes/little_endian.hpp"
#include "io/error.hpp"

namespace formats::vhdx {
namespace {

constexpr std::uint64_t entry_header_bytes = 64;
constexpr std::uint64_t descriptor_bytes = 32;
constexpr std::uint64_t end_of_files = std::uint64_t{1} << 62;
constexpr std::size_t leading_bytes = 8;
constexpr std::size_t trailing_bytes = 4;
// Entries that overlap are left over from earlier rounds; so many times the log there cannot be.
constexpr std::uint64_t most_rounds_of_entries = 8;

bool says(std::span<const std::byte> bytes, std::string_view signature) {
  return std::memcmp(bytes.data(), signature.data(), signature.size()) == 0;
}

struct Entry {
  std::uint64_t at = 0;  // in the log
  std::uint64_t length = 0;
  std::uint64_t tail = 0;
  std::uint64_t sequence = 0;
  std::uint32_t descriptors = 0;
  std::uint64_t flushed_size = 0;
  std::uint64_t last_size = 0;
};

class Log {
 public:
  Log(const io::File& file, io::ByteRange range, const Guid& guid)
      : file_(file), range_(range), guid_(guid), ring_(range.length) {
    if (file.read_at(range.offset, ring_) < ring_.size()) {
      throw io::Error::format(file.path(), range.offset, "the log is cut short");
    }
  }

  Patches replay() {
    Patches patches;
    const std::vector<Entry> active = active_sequence();
    if (active.empty()) {
      throw io::Error::format(file_.path(), range_.offset,
                              "the log has to be replayed, but nothing in it is whole: the image "
                              "is damaged");
    }
    for (const Entry& entry : active) apply(entry, patches);
    return patches;
  }

 private:
  // The bytes from `at` on, which may go on at the start of the ring.
  [[nodiscard]] std::vector<std::byte> bytes_at(std::uint64_t at, std::uint64_t length) const {
    std::vector<std::byte> bytes(length);
    const std::uint64_t first = std::min(length, ring_.size() - at);
    std::copy_n(ring_.begin() + static_cast<std::ptrdiff_t>(at), first, bytes.begin());
    std::copy_n(ring_.begin(), length - first, bytes.begin() + static_cast<std::ptrdiff_t>(first));
    return bytes;
  }

  // Nothing where no whole entry begins.
  [[nodiscard]] std::optional<Entry> entry_at(std::uint64_t at) {
    const auto head = std::span(ring_).subspan(at, entry_header_bytes);
    if (!says(head, "loge") || !std::equal(guid_.begin(), guid_.end(), head.begin() + 32)) {
      return std::nullopt;
    }
    Entry entry;
    entry.at = at;
    entry.length = load_little_endian<std::uint32_t>(head, 8);
    entry.tail = load_little_endian<std::uint32_t>(head, 12);
    entry.sequence = load_little_endian<std::uint64_t>(head, 16);
    entry.descriptors = load_little_endian<std::uint32_t>(head, 24);
    entry.flushed_size = load_little_endian<std::uint64_t>(head, 48);
    entry.last_size = load_little_endian<std::uint64_t>(head, 56);
    const bool sound = entry.length > 0 && entry.length % log_sector == 0 &&
                       entry.length <= ring_.size() && entry.tail % log_sector == 0 &&
                       entry.tail < ring_.size() && entry.sequence != 0 &&
                       descriptor_area(entry) <= entry.length;
    if (!sound) return std::nullopt;
    summed_ += entry.length;
    if (summed_ > ring_.size() * most_rounds_of_entries) {
      throw io::Error::format(file_.path(), range_.offset + at,
                              "the log has more entries than it has room for: it is damaged");
    }
    const auto whole = bytes_at(at, entry.length);
    const std::uint32_t crc = ~crc32c_update_without(~std::uint32_t{0}, whole, 4);
    if (!checksum_fits(load_little_endian<std::uint32_t>(whole, 4), crc)) return std::nullopt;
    return entry;
  }

  // Whole sectors, behind which the data is.
  static std::uint64_t descriptor_area(const Entry& entry) {
    return io::align_up(entry_header_bytes + entry.descriptors * descriptor_bytes, log_sector);
  }

  // Of all runs of entries that count up one by one, from where the last one says that the run
  // begins, the one that ends highest.
  [[nodiscard]] std::vector<Entry> active_sequence() {
    std::map<std::uint64_t, Entry> entries;  // by place
    for (std::uint64_t at = 0; at < ring_.size(); at += log_sector) {
      if (auto entry = entry_at(at)) entries.emplace(at, *entry);
    }
    const Entry* head = nullptr;
    std::vector<Entry> best;
    for (const auto& [at, entry] : entries) {
      if (head != nullptr && entry.sequence <= head->sequence) continue;
      auto run = run_from_tail(entries, entry);
      if (run.empty()) continue;
      head = &entry;
      best = std::move(run);
    }
    return best;
  }

  // From the tail of `head` up to it. Empty where that is not one run.
  [[nodiscard]] std::vector<Entry> run_from_tail(const std::map<std::uint64_t, Entry>& entries,
                                                 const Entry& head) const {
    std::vector<Entry> run;
    std::uint64_t at = head.tail;
    std::uint64_t bytes = 0;
    while (true) {
      const auto found = entries.find(at);
      if (found == entries.end()) return {};
      const Entry& entry = found->second;
      if (!run.empty() && entry.sequence != run.back().sequence + 1) return {};
      bytes += entry.length;
      if (entry.sequence > head.sequence || bytes > ring_.size()) return {};
      run.push_back(entry);
      if (at == head.at) return run;
      at = (at + entry.length) % ring_.size();
    }
  }

  void apply(const Entry& entry, Patches& patches) const {
    if (entry.flushed_size > file_.size()) {
      throw io::Error::format(file_.path(), range_.offset + entry.at,
                              fmt::format("the log knows a file of {} bytes, but it has {}: it was "
                                          "cut short",
                                          entry.flushed_size, file_.size()));
    }
    if (entry.last_size > end_of_files) {
      fail(entry, fmt::format("a file of {} bytes in mind", entry.last_size));
    }
    patches.grow(entry.last_size);
    const auto whole = bytes_at(entry.at, entry.length);
    std::uint64_t data_at = descriptor_area(entry);
    for (std::uint32_t i = 0; i < entry.descriptors; ++i) {
      const auto descriptor =
          std::span(whole).subspan(entry_header_bytes + i * descriptor_bytes, descriptor_bytes);
      if (load_little_endian<std::uint64_t>(descriptor, 24) != entry.sequence) {
        fail(entry, "a descriptor of another entry");
      }
      if (says(descriptor, "zero")) {
        apply_zeros(entry, descriptor, patches);
      } else if (says(descriptor, "desc")) {
        if (log_sector > entry.length - data_at) fail(entry, "less data than its descriptors say");
        apply_data(entry, descriptor, std::span(whole).subspan(data_at, log_sector), patches);
        data_at += log_sector;
      } else {
        fail(entry, "a descriptor of an unknown kind");
      }
    }
  }

  void apply_zeros(const Entry& entry, std::span<const std::byte> descriptor,
                   Patches& patches) const {
    const io::ByteRange range{load_little_endian<std::uint64_t>(descriptor, 16),
                              load_little_endian<std::uint64_t>(descriptor, 8)};
    check_target(entry, range);
    patches.add_zeros(range);
  }

  void apply_data(const Entry& entry, std::span<const std::byte> descriptor,
                  std::span<const std::byte> sector, Patches& patches) const {
    const io::ByteRange range{load_little_endian<std::uint64_t>(descriptor, 16), log_sector};
    check_target(entry, range);
    const std::uint64_t sequence = std::uint64_t{load_little_endian<std::uint32_t>(sector, 4)}
                                       << 32 |
                                   load_little_endian<std::uint32_t>(sector, log_sector - 4);
    if (!says(sector, "data") || sequence != entry.sequence) fail(entry, "data of another entry");
    std::vector<std::byte> bytes(sector.begin(), sector.end());
    std::copy_n(descriptor.begin() + 8, leading_bytes, bytes.begin());
    std::copy_n(descriptor.begin() + 4, trailing_bytes, bytes.end() - trailing_bytes);
    patches.add_data(range.offset, bytes);
  }

  void check_target(const Entry& entry, io::ByteRange range) const {
    if (range.offset % log_sector != 0 || range.length % log_sector != 0 ||
        range.offset > end_of_files || range.length > end_of_files) {
      fail(entry, fmt::format("a change of {} bytes at {}, which is no place in a file",
                              range.length, range.offset));
    }
  }

  [[noreturn]] void fail(const Entry& entry, const std::string& what) const {
    throw io::Error::format(file_.path(), range_.offset + entry.at,
                            fmt::format("an entry of the log has {}: it is damaged", what));
  }

  const io::File& file_;
  io::ByteRange range_;
  const Guid& guid_;
  std::vector<std::byte> ring_;
  std::uint64_t summed_ = 0;  // bytes of which a checksum was computed
};

}  // namespace

// --- patches --------------------------------------------------------------------------------

// Takes `range` away from what is patched.
void Patches::make_room(io::ByteRange range) {
  auto found = patches_.lower_bound(range.offset);
  if (found != patches_.begin() && std::prev(found)->second.range.end() > range.offset) --found;
  while (found != patches_.end() && found->first < range.end()) {
    const Patch old = found->second;
    found = patches_.erase(found);
    const auto keep = [&](io::ByteRange part) {
      if (part.empty()) return;
      const std::byte* bytes = old.bytes;
      if (bytes != nullptr) bytes += part.offset - old.range.offset;
      patches_.emplace(part.offset, Patch{part, bytes});
    };
    keep(io::range_between(old.range.offset, std::min(old.range.end(), range.offset)));
    keep(io::range_between(std::max(old.range.offset, range.end()), old.range.end()));
  }
}

void Patches::add_data(std::uint64_t offset, std::span<const std::byte> bytes) {
  data_.emplace_back(bytes.begin(), bytes.end());
  const io::ByteRange range{offset, bytes.size()};
  make_room(range);
  patches_.emplace(offset, Patch{range, data_.back().data()});
}

void Patches::add_zeros(io::ByteRange range) {
  if (range.empty()) return;
  make_room(range);
  patches_.emplace(range.offset, Patch{range, nullptr});
}

Patches::Patch Patches::next(std::uint64_t offset) const {
  auto found = patches_.upper_bound(offset);
  if (found != patches_.begin() && std::prev(found)->second.range.end() > offset) --found;
  return found == patches_.end() ? Patch{} : found->second;
}

void Patches::apply(std::uint64_t offset, std::span<std::byte> bytes) const {
  const std::uint64_t end = offset + bytes.size();
  for (std::uint64_t at = offset; at < end;) {
    const Patch patch = next(at);
    const io::ByteRange common = io::intersection(patch.range, io::range_between(at, end));
    if (common.empty()) return;
    const auto out = bytes.subspan(common.offset - offset, common.length);
    if (patch.bytes == nullptr) {
      std::memset(out.data(), 0, out.size());
    } else {
      std::memcpy(out.data(), patch.bytes + (common.offset - patch.range.offset), out.size());
    }
    at = common.end();
  }
}

Patches replay_log(const io::File& file, io::ByteRange range, const Guid& guid) {
  return Log(file, range, guid).replay();
}

}  // namespace formats::vhdx

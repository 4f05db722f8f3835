#include "formats/disks/lvm/metadata.hpp"

#include <algorithm>
#include <array>
#include <optional>

#include "formats/bytes/checksum.hpp"
#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::lvm {
namespace {

constexpr std::size_t sector = 512;
constexpr std::size_t label_sectors = 4;
constexpr std::uint64_t largest_area = 256 * io::MiB;
constexpr std::uint64_t longest_text = 16 * io::MiB;
constexpr const char* check_it = "check the volume group (vgck)";

[[noreturn]] void damaged(std::string what) {
  throw Doubt(Reason::damaged, std::move(what), check_it);
}

// LVM's own start value, and no inversion at the end.
std::uint32_t checksum(std::span<const std::byte> bytes) {
  static constexpr auto table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t i = 0; i < entries.size(); ++i) {
      std::uint32_t state = i;
      for (int bit = 0; bit < 8; ++bit) state = (state >> 1) ^ ((state & 1) != 0 ? 0xEDB88320 : 0);
      entries[i] = state;
    }
    return entries;
  }();
  std::uint32_t state = 0xF597A6CF;
  for (const std::byte byte : bytes) {
    state = (state >> 8) ^ table[(state ^ std::to_integer<std::uint32_t>(byte)) & 0xFF];
  }
  return state;
}

bool equal(std::span<const std::byte> bytes, std::string_view text) {
  return bytes.size() >= text.size() &&
         std::equal(text.begin(), text.end(), bytes.begin(),
                    [](char a, std::byte b) { return static_cast<std::byte>(a) == b; });
}

std::string text_of(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::vector<std::byte> label_area(DiskView& view) {
  const std::uint64_t size = std::min<std::uint64_t>(view.size(), label_sectors * sector);
  return view.read(0, io::align_down(size, sector));
}

std::optional<std::size_t> find_label(std::span<const std::byte> area) {
  for (std::size_t at = 0; at + sector <= area.size(); at += sector) {
    if (equal(area.subspan(at), "LABELONE")) return at;
  }
  return std::nullopt;
}

class Reader {
 public:
  explicit Reader(DiskView& view) : view_(view) {}

  std::unique_ptr<Metadata> run() {
    const auto area = label_area(view_);
    const std::size_t at = find_label(area).value();
    const auto label = std::span(area).subspan(at, sector);
    if (load_little_endian<std::uint64_t>(label, 8) != at / sector ||
        !checksum_fits(load_little_endian<std::uint32_t>(label, 16), checksum(label.subspan(20)))) {
      damaged("its label is damaged");
    }
    if (!equal(label.subspan(24), "LVM2 001"))
      throw Doubt(Reason::unsupported, "is of an unknown version of LVM");
    result_->witnesses.push_back({at, sector});
    read_header(label, load_little_endian<std::uint32_t>(label, 20));
    if (!newest_) throw Doubt(Reason::unsupported, "has no copy of its volume group's metadata");
    return std::move(result_);
  }

 private:
  // Id, size, and two lists of areas, each with an empty one at its end.
  void read_header(std::span<const std::byte> label, std::size_t at) {
    constexpr std::size_t id_size = 32;
    if (at < 32 || at > sector - id_size - 8) damaged("its label is damaged");
    result_->pv_id = text_of(label.subspan(at, id_size));
    at += id_size + 8;
    unsigned ends = 0;
    while (ends < 2) {
      if (at + 16 > sector) damaged("its label is damaged");
      const io::ByteRange area{load_little_endian<std::uint64_t>(label, at),
                               load_little_endian<std::uint64_t>(label, at + 8)};
      at += 16;
      if (area.offset == 0) {
        ++ends;
      } else if (ends == 1) {
        read_area(area);
      }
    }
  }

  void read_area(io::ByteRange area) {
    if (area.length < 2 * sector || area.length > largest_area ||
        !view_.holds(area.offset, area.length)) {
      damaged("a copy of its metadata lies outside of it");
    }
    const auto header = view_.read(area.offset, sector);
    const std::span<const std::byte> bytes = header;
    using namespace std::string_view_literals;
    if (!checksum_fits(load_little_endian<std::uint32_t>(bytes, 0), checksum(bytes.subspan(4))) ||
        !equal(bytes.subspan(4), "\x20LVM2 x[5A%r0N*>"sv) ||
        load_little_endian<std::uint64_t>(bytes, 24) != area.offset ||
        load_little_endian<std::uint64_t>(bytes, 32) != area.length) {
      damaged("a copy of its metadata is damaged");
    }
    result_->witnesses.push_back({area.offset, sector});
    read_copy(area, bytes.subspan(40));
  }

  void read_copy(io::ByteRange area, std::span<const std::byte> places) {
    const auto offset = load_little_endian<std::uint64_t>(places, 0);
    const auto length = load_little_endian<std::uint64_t>(places, 8);
    const auto sum = load_little_endian<std::uint32_t>(places, 16);
    const auto flags = load_little_endian<std::uint32_t>(places, 20);
    if (load_little_endian<std::uint64_t>(places, 24) != 0) {
      throw Doubt(Reason::damaged, "its volume group was being changed", check_it);
    }
    if ((flags & 1) != 0) return;  // kept up to date elsewhere
    if (offset == 0) throw Doubt(Reason::unsupported, "belongs to no volume group");
    if (offset < sector || offset >= area.length || length == 0 || length > area.length - sector) {
      damaged("a copy of its metadata is damaged");
    }
    if (length > longest_text) {
      throw Doubt(Reason::unsupported, "its metadata are larger than imgtool reads");
    }
    // The area is a ring behind its first sector.
    const std::uint64_t first = std::min(length, area.length - offset);
    std::string text = text_of(view_.read(area.offset + offset, first));
    if (first < length) text += text_of(view_.read(area.offset + sector, length - first));
    if (!checksum_fits(sum, checksum(std::as_bytes(std::span(text))))) {
      damaged("a copy of its metadata is damaged");
    }
    take(std::move(text));
  }

  static std::uint64_t sequence(const Section& text) {
    if (text.sections.size() != 1) damaged("its metadata cannot be understood");
    return text.sections.begin()->second.number("seqno");
  }

  void take(std::string text) {
    const std::uint64_t number = sequence(parse_config(text));
    if (newest_ && number <= *newest_) return;
    newest_ = number;
    result_->top = {};
    result_->text = std::move(text);
    result_->top = parse_config(result_->text);
  }

  DiskView& view_;
  std::unique_ptr<Metadata> result_ = std::make_unique<Metadata>();
  std::optional<std::uint64_t> newest_;  // the sequence number of the text in result_
};

}  // namespace

bool has_label(DiskView& view) { return find_label(label_area(view)).has_value(); }

std::unique_ptr<Metadata> read_metadata(DiskView& view) { return Reader(view).run(); }

}  // namespace formats::filesystems::lvm

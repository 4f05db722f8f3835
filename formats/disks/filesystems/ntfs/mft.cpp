#include "formats/disks/filesystems/ntfs/mft.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "formats/bytes/little_endian.hpp"
#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::ntfs {
namespace {

constexpr std::uint64_t longest_attribute_list = 256 * io::KiB;  // NTFS's own limit

[[noreturn]] void broken_list(std::uint64_t record) {
  throw Doubt(Reason::damaged,
              fmt::format("record {} of its MFT has a broken list of attributes", record),
              remedy_check);
}

// The piece of the unnamed data that begins at `lowest`.
const Attribute& data_piece(const Record& record, Vcn lowest) {
  for (const Attribute& attribute : record.attributes()) {
    if (attribute.is_unnamed(AttributeType::data) && !attribute.resident &&
        attribute.lowest == lowest) {
      return attribute;
    }
  }
  throw Doubt(Reason::damaged, fmt::format("record {} of its MFT lacks its data", record.number()),
              remedy_check);
}

void take_sizes(Stream& stream, const Attribute& first) {
  stream.size = first.size;
  stream.initialized = first.initialized;
}

void check_sizes(const Stream& stream, std::uint64_t record) {
  if (stream.initialized > stream.size || stream.size > stream.capacity()) {
    throw Doubt(Reason::damaged, fmt::format("record {} of its MFT tells wrong sizes", record),
                remedy_check);
  }
}

}  // namespace

void Stream::append(const std::vector<Run>& runs) {
  for (const Run& run : runs) {
    if (!run.first) throw Doubt(Reason::damaged, "a system file has a hole", remedy_check);
    const std::uint64_t offset = capacity();
    if (run.count > geometry_->clusters - std::min(geometry_->clusters, clusters_)) {
      throw Doubt(Reason::damaged, "a system file is larger than the volume", remedy_check);
    }
    pieces_.push_back({offset, io::ByteRange{*run.first * geometry_->cluster_size,
                                             run.count * geometry_->cluster_size}});
    clusters_ += run.count;
  }
}

std::vector<std::byte> Stream::read(std::uint64_t offset, std::size_t length) {
  if (length > capacity() || offset > capacity() - length) {
    throw Doubt(Reason::damaged, "a system file is shorter than it must be", remedy_check);
  }
  auto piece = std::partition_point(pieces_.begin(), pieces_.end(), [&](const Piece& p) {
    return p.offset + p.place.length <= offset;
  });
  std::vector<std::byte> bytes;
  while (bytes.size() < length) {
    const std::uint64_t skipped = offset + bytes.size() - piece->offset;
    const std::uint64_t count =
        std::min<std::uint64_t>(length - bytes.size(), piece->place.length - skipped);
    auto part = volume_->read(piece->place.offset + skipped, count);
    if (count == length) return part;
    bytes.insert(bytes.end(), part.begin(), part.end());
    ++piece;
  }
  return bytes;
}

std::vector<io::ByteRange> Stream::places(std::uint64_t length) const {
  std::vector<io::ByteRange> ranges;
  for (const Piece& piece : pieces_) {
    if (piece.offset >= length) break;
    ranges.push_back({piece.place.offset, std::min(piece.place.length, length - piece.offset)});
  }
  return ranges;
}

Mft::Mft(DiskView& volume, const Geometry& geometry)
    : volume_(volume), geometry_(geometry), data_(volume, geometry) {
  const Record self(volume.read(geometry.mft_cluster * geometry.cluster_size, geometry.record_size),
                    0);
  append_pieces(self, data_);
  if (data_.places(1).front().offset != geometry.mft_cluster * geometry.cluster_size) {
    throw Doubt(Reason::damaged, "its MFT is not where its boot sector says", remedy_check);
  }
}

Record Mft::record(std::uint64_t number) {
  if (number >= data_.capacity() / geometry_.record_size) {
    throw Doubt(Reason::damaged, fmt::format("its MFT has no record {}", number), remedy_check);
  }
  return {data_.read(number * geometry_.record_size, geometry_.record_size), number};
}

Stream Mft::data_of(std::uint64_t number) {
  const Record base = record(number);
  Stream stream(volume_, geometry_);
  append_pieces(base, stream);
  return stream;
}

// For the MFT itself `stream` is what record() reads: each piece must lie in those before it.
void Mft::append_pieces(const Record& base, Stream& stream) {
  const Attribute* list = base.find(AttributeType::attribute_list);
  if (list == nullptr) {
    const Attribute& only = data_piece(base, 0);
    take_sizes(stream, only);
    stream.append(decode_runs(only, geometry_, base.number()));
  } else {
    for (const Reference& reference : data_references(base, *list)) {
      if (reference.lowest != stream.clusters()) broken_list(base.number());
      const bool elsewhere = reference.record != base.number();
      std::optional<Record> other;
      if (elsewhere) other.emplace(record(reference.record));
      const Record& holder = elsewhere ? *other : base;
      if (elsewhere && holder.base() != base.number()) broken_list(base.number());
      if (holder.sequence() != reference.sequence) broken_list(base.number());
      const Attribute& piece = data_piece(holder, reference.lowest);
      if (reference.lowest == 0) take_sizes(stream, piece);
      stream.append(decode_runs(piece, geometry_, holder.number()));
    }
  }
  if (stream.clusters() == 0) {
    throw Doubt(Reason::damaged, fmt::format("record {} of its MFT lacks its data", base.number()),
                remedy_check);
  }
  check_sizes(stream, base.number());
}

std::vector<Mft::Reference> Mft::data_references(const Record& base, const Attribute& list) {
  std::vector<std::byte> bytes(list.value.begin(), list.value.end());
  if (!list.resident) {
    Stream stream(volume_, geometry_);
    if (list.lowest != 0 || list.size > longest_attribute_list) broken_list(base.number());
    stream.append(decode_runs(list, geometry_, base.number()));
    bytes = stream.read(0, list.size);
  }
  constexpr std::size_t entry_bytes = 26;
  std::vector<Reference> references;
  for (std::span<const std::byte> rest = bytes; !rest.empty();) {
    if (rest.size() < entry_bytes) broken_list(base.number());
    const std::size_t length = load_little_endian<std::uint16_t>(rest, 4);
    if (length < entry_bytes || length > rest.size()) broken_list(base.number());
    const auto type = load_little_endian<std::uint32_t>(rest, 0);
    if (type == static_cast<std::uint32_t>(AttributeType::data) && rest[6] == std::byte{0}) {
      const auto target = load_little_endian<std::uint64_t>(rest, 16);
      references.push_back({target & 0x0000ffffffffffff, static_cast<std::uint16_t>(target >> 48),
                            load_little_endian<std::uint64_t>(rest, 8)});
    }
    rest = rest.subspan(length);
  }
  return references;
}

}  // namespace formats::filesystems::ntfs

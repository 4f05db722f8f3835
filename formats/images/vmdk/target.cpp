#include "formats/images/vmdk/target.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <functional>

#include "formats/bytes/little_endian.hpp"
#include "formats/images/deflate.hpp"
#include "io/digest.hpp"
#include "io/error.hpp"
#include "io/zero_run.hpp"

namespace formats::vmdk {
namespace {

constexpr std::uint64_t descriptor_sector = 1;
constexpr std::uint64_t descriptor_sectors = 20;  // as VMware's

enum class Marker : std::uint32_t { end = 0, table = 1, directory = 2, footer = 3 };

// What follows it is of this kind, and takes so many sectors.
std::array<std::byte, sector> marker(Marker kind, std::uint64_t sectors) {
  std::array<std::byte, sector> bytes{};
  store_little_endian(std::span<std::byte>(bytes), 0, sectors);
  store_little_endian(std::span<std::byte>(bytes), 12, static_cast<std::uint32_t>(kind));
  return bytes;
}

// Whole sectors.
std::vector<std::byte> table_bytes(std::span<const std::uint32_t> entries) {
  std::vector<std::byte> bytes(io::align_up(entries.size_bytes(), sector));
  for (std::size_t i = 0; i < entries.size(); ++i) {
    store_little_endian(std::span<std::byte>(bytes), i * sizeof(std::uint32_t), entries[i]);
  }
  return bytes;
}

io::FileTargetOptions new_stream_file() {
  io::FileTargetOptions options;
  options.starts_as_zeros = true;
  options.grows = true;
  return options;
}

}  // namespace

// What is known at the end only is written there.
StreamTarget::StreamTarget(io::Ring& ring, io::File& file, StreamOptions options)
    : ring_(ring),
      file_(&file),
      file_target_(std::in_place, ring, file, io::stream_limit, new_stream_file()),
      output_(*file_target_),
      options_(std::move(options)),
      sequencer_(ring),
      log_(output_) {
  log_.append_zeros(front_sectors * sector);
}

StreamTarget::StreamTarget(io::Ring& ring, io::Target& pipe, StreamOptions options)
    : ring_(ring), output_(pipe), options_(std::move(options)), sequencer_(ring), log_(output_) {
  assert(options_.size.has_value());
  log_.append(front(*options_.size));
}

Header StreamTarget::header(std::uint64_t size) const {
  Header header;
  header.version = 3;
  header.capacity = io::align_up(size, sector) / sector;
  header.grain = grain_bytes / sector;
  header.descriptor = descriptor_sector;
  header.descriptor_length = descriptor_sectors;
  header.entries = table_entries;
  header.directory = at_end;
  header.compressed = true;
  header.markers = true;
  return header;
}

std::vector<std::byte> StreamTarget::front(std::uint64_t size) const {
  const Header plain = header(size);
  std::vector<std::byte> bytes = to_bytes(plain, front_sectors);
  const std::string text =
      stream_descriptor(plain.capacity, options_.extent_name, identity_.uuid(size, 0));
  assert(text.size() <= descriptor_sectors * sector);
  bytes.resize(front_sectors * sector);
  std::memcpy(bytes.data() + descriptor_sector * sector, text.data(), text.size());
  return bytes;
}

void StreamTarget::abandon() {
  sequencer_.abandon();
  output_.abandon();
}

io::Task<> StreamTarget::take_turn(std::uint64_t offset) {
  const bool mine = co_await sequencer_.turn(offset);
  if (!mine) throw io::Error(io::ErrorKind::cancelled, name(), "an earlier piece is missing");
}

// --- grains ---------------------------------------------------------------------------------

// The disk's last grain is filled up with zeros.
StreamTarget::Grain StreamTarget::encode_grain(std::uint64_t index,
                                               std::span<const std::byte> content) const {
  std::vector<std::byte> filled;
  if (content.size() < grain_bytes) {
    filled.assign(content.begin(), content.end());
    filled.resize(grain_bytes);
    content = filled;
  }
  Grain grain{index, io::xxh3(content), std::vector<std::byte>(grain_marker_bytes)};
  const std::size_t length = deflate_zlib(options_.level, content, grain.bytes);
  store_little_endian(std::span<std::byte>(grain.bytes), 0, index * (grain_bytes / sector));
  store_little_endian(std::span<std::byte>(grain.bytes), 8, static_cast<std::uint32_t>(length));
  grain.bytes.resize(io::align_up(grain.bytes.size(), sector));
  return grain;
}

// On any thread.
void StreamTarget::encode(std::uint64_t offset, std::span<const std::byte> content,
                          std::vector<Grain>& grains) const {
  for (std::size_t at = 0; at < content.size() && !sequencer_.abandoned(); at += grain_bytes) {
    const auto part = content.subspan(at, std::min<std::size_t>(grain_bytes, content.size() - at));
    if (!io::is_zero(part)) grains.push_back(encode_grain((offset + at) / grain_bytes, part));
  }
}

io::Task<> StreamTarget::write(std::uint64_t offset, io::Buffer buffer) {
  assert(offset % grain_bytes == 0);
  try {
    co_await write_grains(offset, buffer.bytes);
  } catch (...) {
    abandon();
    throw;
  }
}

io::Task<> StreamTarget::write_grains(std::uint64_t offset, std::span<const std::byte> content) {
  std::vector<Grain> grains;
  if (options_.workers == nullptr) {
    encode(offset, content, grains);
  } else {
    std::function<void()> work = [this, offset, content, &grains] {
      encode(offset, content, grains);
    };
    co_await options_.workers->run(ring_, std::move(work));
  }
  co_await take_turn(offset);
  for (const Grain& grain : grains) append_grain(grain);
  sequencer_.pass(offset + content.size());
  co_await log_.write_full_pieces();
}

io::Task<> StreamTarget::zero(io::ByteRange range) {
  assert(range.offset % grain_bytes == 0);
  try {
    co_await take_turn(range.offset);
    sequencer_.pass(range.end());
  } catch (...) {
    abandon();
    throw;
  }
}

std::uint32_t StreamTarget::next_sector() const {
  const std::uint64_t next = log_.position() / sector;
  if (next <= 0xffffffff) return static_cast<std::uint32_t>(next);
  throw io::Error(io::ErrorKind::unsupported, name(),
                  "takes more than 2 TiB, which is where a VMDK file ends");
}

void StreamTarget::append_grain(const Grain& grain) {
  while (directory_.size() < grain.index / table_entries) append_table();
  table_[grain.index % table_entries] = next_sector();
  log_.append(grain.bytes);
  identity_.add(grain.index, grain.digest);
  content_bytes_ += grain_bytes;
}

// --- tables ---------------------------------------------------------------------------------

// A table of no grains is left out.
void StreamTarget::append_table() {
  const bool any = std::any_of(table_.begin(), table_.end(), [](auto entry) { return entry != 0; });
  if (any) {
    const auto bytes = table_bytes(table_);
    log_.append(marker(Marker::table, bytes.size() / sector));
  }
  directory_.push_back(any ? next_sector() : 0);
  if (any) log_.append(table_bytes(table_));
  table_.fill(0);
}

void StreamTarget::append_directory() {
  const std::uint64_t size = sequencer_.position();
  Header footer = header(size);
  while (directory_.size() < footer.tables()) append_table();
  const auto directory = table_bytes(directory_);
  log_.append(marker(Marker::directory, directory.size() / sector));
  footer.directory = next_sector();
  log_.append(directory);
  log_.append(marker(Marker::footer, header_bytes / sector));
  log_.append(to_bytes(footer, front_sectors));
  log_.append(marker(Marker::end, 0));
}

io::Task<> StreamTarget::flush() { co_return; }

io::Task<> StreamTarget::finish() {
  const std::uint64_t size = sequencer_.position();
  assert(!options_.size || size == *options_.size);
  append_directory();
  co_await log_.finish();
  if (file_ == nullptr) co_return;
  const std::vector<std::byte> bytes = front(size);
  const io::AlignedMemory memory(bytes.size());
  std::copy(bytes.begin(), bytes.end(), memory.bytes().begin());
  co_await output_.write(0, memory.buffer().first(bytes.size()));
  file_->truncate(log_.position());  // the last sector was written whole
}

}  // namespace formats::vmdk

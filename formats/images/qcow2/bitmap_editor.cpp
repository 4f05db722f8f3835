#include "formats/images/qcow2/bitmap_editor.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "formats/images/qcow2/editing.hpp"
#include "io/error.hpp"

namespace formats::qcow2 {
namespace {

constexpr std::uint64_t bitmap_entry_reserved = 0xff000000000001fe;
constexpr std::uint64_t all_ones = 1;  // an entry without a cluster

Header checked_v3(const io::File& file, const io::StopFlag& stop) {
  Header header = read_editable(file);
  if (header.version < 3) {
    throw io::Error(io::ErrorKind::unsupported, file.path(),
                    "is of version 2, which has no bitmaps; qemu-img amend -o compat=1.1 makes it "
                    "version 3");
  }
  refuse_damaged(file, stop);
  return header;
}

// Those that can be believed.
std::vector<Bitmap> present_bitmaps(const io::File& file, const Header& header) {
  if (!header.bitmaps_consistent) return {};
  return read_bitmaps(TableReader(file), header);
}

const Bitmap* find_in(const std::vector<Bitmap>& bitmaps, const std::string& name) {
  const auto found = std::find_if(bitmaps.begin(), bitmaps.end(),
                                  [&](const Bitmap& bitmap) { return bitmap.name == name; });
  return found == bitmaps.end() ? nullptr : &*found;
}

[[noreturn]] void refuse_bitmap(const io::File& file, std::string text) {
  throw io::Error::refusal(file.path(), std::move(text));
}

const Bitmap& usable_in(const io::File& file, const std::vector<Bitmap>& bitmaps,
                        const std::string& name) {
  const Bitmap* bitmap = find_in(bitmaps, name);
  if (bitmap == nullptr) {
    refuse_bitmap(file, fmt::format("has no bitmap '{}' (imgtool info lists them)", name));
  }
  if (bitmap->in_use) {
    refuse_bitmap(file,
                  fmt::format("has the bitmap '{}', but it was not closed, and what it says cannot "
                              "be trusted; remove it (--remove) and make a full backup",
                              name));
  }
  return *bitmap;
}

std::vector<std::uint64_t> checked_table(const io::File& file, const Header& header,
                                         const Bitmap& bitmap) {
  if (bitmap.table_entries > largest_bitmap_bytes / header.geometry.cluster_size()) {
    throw io::Error(
        io::ErrorKind::unsupported, file.path(),
        fmt::format("has the bitmap '{}', which is larger than qemu allows", bitmap.name));
  }
  auto words = read_words(file, bitmap.table_offset, bitmap.table_entries);
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::uint64_t word = words[index];
    const HostOffset cluster = table_offset(word);
    if ((word & bitmap_entry_reserved) == 0 && (cluster.value == 0 || (word & 1) == 0) &&
        header.geometry.offset_in_cluster(cluster.value) == 0) {
      continue;
    }
    throw io::Error::format(file.path(), bitmap.table_offset.value + index * 8,
                            fmt::format("an entry of the bitmap '{}' makes no sense", bitmap.name));
  }
  return words;
}

}  // namespace

std::uint32_t default_granularity_bits(const Geometry& geometry) {
  return std::clamp<std::uint32_t>(geometry.cluster_bits, 12, 16);
}

// --- the bits of one bitmap -----------------------------------------------------------------

// Sets bits in ascending order; one cluster of them is in memory.
class BitmapEditor::Bits {
 public:
  Bits(BitmapEditor& editor, Bitmap& bitmap)
      : editor_(editor),
        bitmap_(bitmap),
        cluster_size_(editor.header_.geometry.cluster_size()),
        words_(editor.read_table(bitmap)) {}

  // Those of a range of the guest's disk, which ends at its end.
  void set(io::ByteRange range) {
    const std::uint32_t shift = bitmap_.granularity_bits;
    const std::uint64_t end = (range.end() - 1) >> shift;
    for (std::uint64_t bit = range.offset >> shift; bit <= end;) {
      const std::uint64_t per_cluster = cluster_size_ * 8;
      const std::uint64_t index = bit / per_cluster;
      const std::uint64_t last = std::min(end, (index + 1) * per_cluster - 1);
      if (words_[index] != all_ones) set_in(index, bit % per_cluster, last % per_cluster);
      bit = last + 1;
    }
  }

  void finish() {
    close();
    editor_.refcounts_.release(bitmap_.table_offset, words_.size() * 8);
    editor_.place_table(bitmap_, words_);
  }

 private:
  void set_in(std::uint64_t index, std::uint64_t first, std::uint64_t last) {
    open(index);
    for (std::uint64_t bit = first; bit <= last;) {
      if (bit % 8 == 0 && last - bit >= 7) {
        bits_[bit / 8] = std::byte{0xff};
        bit += 8;
      } else {
        bits_[bit / 8] |= std::byte{1} << (bit % 8);
        ++bit;
      }
    }
  }

  void open(std::uint64_t index) {
    if (open_ == index) return;
    close();
    io::throw_if_stopped(editor_.stop_, editor_.file_.path());
    bits_.assign(cluster_size_, std::byte{0});
    const std::uint64_t place = table_offset(words_[index]).value;
    if (place != 0) editor_.file_.read_at(place, bits_);
    open_ = index;
  }

  void close() {
    if (!open_) return;
    std::uint64_t& word = words_[*open_];
    if (table_offset(word).value != 0) {
      editor_.refcounts_.release(table_offset(word).value / cluster_size_);
    }
    word = editor_.refcounts_.place(bits_).value;
    open_.reset();
  }

  BitmapEditor& editor_;
  Bitmap& bitmap_;
  const std::uint64_t cluster_size_;
  std::vector<std::uint64_t> words_;
  std::optional<std::uint64_t> open_;  // the index in the table of what `bits_` holds
  std::vector<std::byte> bits_;
};

namespace {

// Calls visit(range) for what a bitmap has, ascending: ranges of the guest's disk.
template <class Visitor>
void for_each_marked(const io::File& file, const Header& header, const Bitmap& bitmap,
                     const Visitor& visit) {
  const std::uint64_t cluster_size = header.geometry.cluster_size();
  const std::uint64_t covered = (cluster_size * 8) << bitmap.granularity_bits;
  const std::uint64_t granularity = std::uint64_t{1} << bitmap.granularity_bits;
  io::ByteRange run{};  // not given yet
  const auto give_run = [&] {
    const io::ByteRange range = io::intersection(run, {0, header.virtual_size});
    if (!range.empty()) visit(range);
  };
  const auto give = [&](std::uint64_t begin, std::uint64_t end) {
    if (begin != run.end()) {
      give_run();
      run = {begin, 0};
    }
    run.length = end - run.offset;
  };
  const auto words = checked_table(file, header, bitmap);
  std::vector<std::byte> bits(cluster_size);
  for (std::size_t index = 0; index < words.size(); ++index) {
    const std::uint64_t begin = index * covered;
    if (words[index] == all_ones) give(begin, begin + covered);
    if (table_offset(words[index]).value == 0) continue;
    const std::size_t there = file.read_at(table_offset(words[index]).value, bits);
    std::fill(bits.begin() + static_cast<std::ptrdiff_t>(there), bits.end(), std::byte{0});
    for (std::uint64_t at = 0; at < cluster_size; ++at) {
      const auto byte = std::to_integer<unsigned>(bits[at]);
      for (unsigned bit = 0; byte >> bit != 0; ++bit) {
        if ((byte >> bit & 1) == 0) continue;
        const std::uint64_t guest = begin + (at * 8 + bit) * granularity;
        give(guest, guest + granularity);
      }
    }
  }
  give_run();
}

}  // namespace

// --- the list ---------------------------------------------------------------------------------

BitmapEditor::BitmapEditor(const io::File& file, const io::StopFlag& stop)
    : file_(file),
      stop_(stop),
      header_(checked_v3(file, stop)),
      bitmaps_(present_bitmaps(file, header_)),
      refcounts_(file, header_) {
  if (header_.bitmaps && header_.bitmaps_consistent) {
    old_directory_ = header_.bitmaps->offset;
    old_directory_bytes_ = header_.bitmaps->bytes;
  }
}

const Bitmap* BitmapEditor::find(const std::string& name) const { return find_in(bitmaps_, name); }

Bitmap& BitmapEditor::usable(const std::string& name) {
  const Bitmap& found = usable_in(file_, bitmaps_, name);
  return bitmaps_[static_cast<std::size_t>(&found - bitmaps_.data())];
}

std::vector<std::uint64_t> BitmapEditor::read_table(const Bitmap& bitmap) const {
  return checked_table(file_, header_, bitmap);
}

void BitmapEditor::place_table(Bitmap& bitmap, const std::vector<std::uint64_t>& words) {
  bitmap.table_entries = static_cast<std::uint32_t>(words.size());
  bitmap.table_offset = refcounts_.place(bytes_of(words));
}

// The table, and the clusters that it names. That of one that was not closed can be of any length.
void BitmapEditor::release_content(const Bitmap& bitmap) {
  constexpr std::uint64_t at_once = io::MiB / 8;
  for (std::uint64_t begin = 0; begin < bitmap.table_entries; begin += at_once) {
    io::throw_if_stopped(stop_, file_.path());
    const std::uint64_t count = std::min<std::uint64_t>(at_once, bitmap.table_entries - begin);
    for (const std::uint64_t word : read_words(file_, bitmap.table_offset + begin * 8, count)) {
      const std::uint64_t place = table_offset(word).value;
      if (place != 0) refcounts_.release(place / header_.geometry.cluster_size());
    }
  }
  refcounts_.release(bitmap.table_offset, std::uint64_t{bitmap.table_entries} * 8);
}

void BitmapEditor::add(const std::string& name, std::uint32_t granularity_bits) {
  if (find(name) != nullptr) refuse_bitmap(file_, fmt::format("has a bitmap '{}' already", name));
  if (name.empty() || name.size() > longest_bitmap_name) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    fmt::format("takes names of bitmaps of 1 to {} bytes, not of {}",
                                longest_bitmap_name, name.size()));
  }
  Bitmap bitmap;
  bitmap.name = name;
  bitmap.granularity_bits = granularity_bits;
  bitmap.automatic = true;
  const std::uint64_t entries = bitmap_table_entries(header_, granularity_bits);
  if (entries > largest_bitmap_bytes / header_.geometry.cluster_size()) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "would need a bitmap of more than 512 MiB; a larger granularity (-g) makes it "
                    "smaller");
  }
  if (entries == 0) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(), "has a disk of 0 bytes");
  }
  if (bitmaps_.size() >= most_bitmaps) {
    throw io::Error(io::ErrorKind::unsupported, file_.path(),
                    "has as many bitmaps as an image can have");
  }
  place_table(bitmap, std::vector<std::uint64_t>(entries));
  bitmaps_.push_back(std::move(bitmap));
}

void BitmapEditor::remove(const std::string& name) {
  const Bitmap* bitmap = find(name);
  if (bitmap == nullptr) (void)usable(name);  // says so
  release_content(*bitmap);
  bitmaps_.erase(bitmaps_.begin() + (bitmap - bitmaps_.data()));
}

void BitmapEditor::enable(const std::string& name, bool enabled) {
  usable(name).automatic = enabled;
}

void BitmapEditor::clear(const std::string& name) {
  Bitmap& bitmap = usable(name);
  const auto words = read_table(bitmap);
  release_content(bitmap);
  place_table(bitmap, std::vector<std::uint64_t>(words.size()));
}

void BitmapEditor::merge(const std::string& name, const io::File& from, const std::string& source) {
  const bool own = &from == &file_;
  const Header theirs = own ? header_ : read_editable(from);
  const auto listed = own ? bitmaps_ : present_bitmaps(from, theirs);
  const Bitmap added = usable_in(from, listed, source);
  if (theirs.virtual_size != header_.virtual_size) {
    refuse_bitmap(
        from, fmt::format("has a disk of {} bytes, and that of {} has {}: their bitmaps cannot be "
                          "merged",
                          theirs.virtual_size, file_.path(), header_.virtual_size));
  }
  Bits bits(*this, usable(name));
  for_each_marked(from, theirs, added, [&](io::ByteRange range) { bits.set(range); });
  bits.finish();
}

void BitmapEditor::record(const std::string& name, const std::function<io::ByteRange()>& next) {
  Bits bits(*this, usable(name));
  for (io::ByteRange range = next(); !range.empty(); range = next()) bits.set(range);
  bits.finish();
}

void BitmapEditor::finish() {
  io::throw_if_stopped(stop_, file_.path());
  if (old_directory_bytes_ > 0) refcounts_.release(old_directory_, old_directory_bytes_);
  auto directory = make_bitmap_directory(bitmaps_);
  header_.bitmaps.reset();
  header_.bitmaps_consistent = !bitmaps_.empty();
  if (!bitmaps_.empty()) {
    BitmapDirectory place;
    place.bytes = directory.size();
    place.count = static_cast<std::uint32_t>(bitmaps_.size());
    place.offset = refcounts_.place(std::move(directory));
    header_.bitmaps = place;
  }
  refcounts_.take_into_use(header_);
}

void record_in_all(const io::File& file, const io::StopFlag& stop,
                   const std::function<std::function<io::ByteRange()>()>& ranges) {
  const Header header = read_header(file);
  if (!header.bitmaps || !header.bitmaps_consistent) return;
  std::vector<std::string> names;
  for (const Bitmap& bitmap : read_bitmaps(TableReader(file), header)) {
    if (bitmap.automatic && !bitmap.in_use) names.push_back(bitmap.name);
  }
  if (names.empty()) return;
  BitmapEditor editor(file, stop);
  for (const std::string& name : names) editor.record(name, ranges());
  editor.finish();
}

}  // namespace formats::qcow2

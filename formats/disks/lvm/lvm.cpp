#include "formats/disks/lvm/lvm.hpp"

#include <algorithm>
#include <cassert>
#include <map>
#include <set>

#include <fmt/format.h>

#include "formats/disks/filesystems/doubt.hpp"
#include "formats/disks/lvm/metadata.hpp"
#include "formats/disks/lvm/thin_segments.hpp"
#include "io/buffer_pool.hpp"

namespace formats::filesystems {
namespace {

using lvm::Scalar;
using lvm::Section;

constexpr std::uint64_t sector = 512;
constexpr const char* check_it = "check the volume group (vgck)";

[[noreturn]] void damaged(std::string_view what) {
  throw Doubt(Reason::damaged, std::string(what), check_it);
}

std::string without_dashes(std::string text) {
  std::erase(text, '-');
  return text;
}

// "abcdef-ghij-klmn-opqr-stuv-wxyz-012345"
std::string with_dashes(std::string_view id) {
  std::string text;
  for (std::size_t i = 0; i < id.size(); ++i) {
    if (i >= 6 && i <= 26 && (i - 6) % 4 == 0) text += '-';
    text += id[i];
  }
  return text;
}

// The first of the words in `status` that is none of these, or nothing.
std::optional<std::string> unexpected(const Section& section,
                                      std::initializer_list<std::string_view> expected) {
  for (const Scalar& word : section.list("status")) {
    const auto* text = std::get_if<std::string>(&word);
    if (text == nullptr) damaged("its metadata cannot be understood");
    if (std::find(expected.begin(), expected.end(), *text) == expected.end()) return *text;
  }
  return std::nullopt;
}

bool has_word(const Section& section, std::string_view word) {
  const auto& list = section.list("status");
  return std::any_of(list.begin(), list.end(), [&](const Scalar& scalar) {
    const auto* text = std::get_if<std::string>(&scalar);
    return text != nullptr && *text == word;
  });
}

// One area of a segment: a volume and the first extent in it.
struct Area {
  std::string name;
  std::uint64_t extent;
};

std::vector<Area> areas_of(const std::vector<Scalar>& list) {
  if (list.empty() || list.size() % 2 != 0) damaged("its metadata cannot be understood");
  std::vector<Area> areas;
  areas.reserve(list.size() / 2);
  for (std::size_t i = 0; i < list.size(); i += 2) {
    const auto* name = std::get_if<std::string>(&list[i]);
    const auto* extent = std::get_if<std::int64_t>(&list[i + 1]);
    if (name == nullptr || extent == nullptr || *extent < 0) {
      damaged("its metadata cannot be understood");
    }
    areas.push_back({*name, static_cast<std::uint64_t>(*extent)});
  }
  return areas;
}

class LvmReader {
 public:
  explicit LvmReader(DiskView& view)
      : view_(view),
        metadata_(lvm::read_metadata(view)),
        group_name_(metadata_->top.sections.begin()->first),
        group_(metadata_->top.sections.begin()->second) {}

  // Fills in what becomes known; the free ranges last.
  void read(FileSystem& found) {
    check_group();
    find_ourselves();
    const auto volumes = group_.sections.find("logical_volumes");
    if (volumes != group_.sections.end()) {
      for (const auto& [name, section] : volumes->second.sections) find_parts(section);
      for (const auto& [name, section] : volumes->second.sections) read_volume(name, section);
      lvm::link_thin_volumes(thin_, parts_, hidden_, volumes_);
    }
    found.uuid = with_dashes(metadata_->pv_id);
    found.size = begin_ + extents_ * extent_size_;
    found.block_size = extent_size_;
    found.free = free_extents();
    found.witnesses = metadata_->witnesses;
    found.volumes = std::move(volumes_);
  }

 private:
  void check_group() {
    if (const auto word = unexpected(group_, {"RESIZEABLE", "READ", "WRITE"})) {
      throw Doubt(Reason::unsupported, fmt::format("its volume group is {}", *word));
    }
    if (group_.has("lock_type"))
      throw Doubt(Reason::unsupported, "its volume group is shared with other hosts");
    const std::uint64_t sectors = group_.number("extent_size");
    if (sectors == 0 || sectors > (std::uint64_t{1} << 40)) damaged("its extent size is damaged");
    extent_size_ = sectors * sector;
  }

  void find_ourselves() {
    for (const auto& [name, section] : group_.section("physical_volumes").sections) {
      physical_names_.emplace(name);
      if (without_dashes(section.text("id")) == metadata_->pv_id) {
        if (!our_name_.empty()) damaged("its volume group lists it twice");
        our_name_ = name;
        read_place(section);
      }
    }
    if (our_name_.empty()) damaged("its volume group does not list it");
  }

  void read_place(const Section& section) {
    if (const auto word = unexpected(section, {"ALLOCATABLE"})) {
      throw Doubt(Reason::unsupported, fmt::format("its volume group calls it {}", *word));
    }
    if (section.has("flags") && !section.list("flags").empty()) {
      throw Doubt(Reason::damaged, "its volume group misses it", check_it);
    }
    const std::uint64_t begin = section.number("pe_start");
    extents_ = section.number("pe_count");
    if (begin > view_.size() / sector ||
        extents_ > (view_.size() - begin * sector) / extent_size_) {
      throw Doubt(Reason::cut_off, "it is longer than its volume: it was cut off");
    }
    begin_ = begin * sector;
  }

  static bool is_striped(const Section& segment) { return segment.text("type") == "striped"; }

  // Volumes that other ones are made of: their free space may be in use there.
  void find_parts(const Section& volume) {
    for (const auto& [name, segment] : volume.sections) {
      for (const auto& [key, value] : segment.values) {
        if (key == "type" || key == "tags") continue;
        for (const Scalar& scalar : lvm::parse_value(value)) {
          const auto* text = std::get_if<std::string>(&scalar);
          if (text == nullptr || text->empty()) continue;
          if (!physical_names_.contains(*text)) {
            add_part(*text, lvm::is_thin_link(segment, key));
          } else if (!is_striped(segment) || key != "stripes") {
            throw Doubt(Reason::unsupported,
                        "holds a logical volume of a kind that imgtool does not know");
          }
        }
      }
    }
  }

  void add_part(const std::string& name, bool thin_link) {
    if (parts_.size() == lvm::most_names) damaged("its volumes have too many parts");
    lvm::PartUses& uses = parts_[name];
    ++(thin_link ? uses.by_thin_volumes : uses.by_others);
  }

  static void keep(LogicalVolume& volume, std::string because) {
    volume.reason = Reason::unsupported;
    volume.kept_because = std::move(because);
  }

  void read_volume(std::string_view name, const Section& section) {
    LogicalVolume volume;
    volume.name = fmt::format("{}/{}", group_name_, name);
    const std::uint64_t count = section.number("segment_count");
    std::uint64_t extent = 0;
    for (std::uint64_t i = 1; i <= count; ++i) {
      const Section& segment = section.section(fmt::format("segment{}", i));
      if (segment.number("start_extent") != extent) damaged("a logical volume has gaps");
      read_segment(segment, extent, volume);
      const std::uint64_t length = segment.number("extent_count");
      if (length == 0 || length > (std::uint64_t{1} << 62) / extent_size_ - extent) {
        damaged("the size of a logical volume is damaged");
      }
      extent += length;
    }
    if (section.sections.size() != count) damaged("a logical volume has other segments");
    if (extent == 0) return;
    volume.size = extent * extent_size_;
    const auto word = unexpected(section, {"READ", "WRITE", "VISIBLE", "FIXED_MINOR"});
    if (!has_word(section, "VISIBLE")) {  // a part of another one
      if (!word && volume.reason == Reason::none) hidden_.emplace(name, std::move(volume));
      return;
    }
    if (!word && count == 1) thin_.push_back({name, section.section("segment1"), volumes_.size()});
    if (parts_.contains(name)) keep(volume, "other volumes are made of it");
    if (word) keep(volume, fmt::format("the logical volume is {}", *word));
    if (volume.reason != Reason::none) volume.segments.clear();
    volumes_.push_back(std::move(volume));
  }

  void read_segment(const Section& segment, std::uint64_t first, LogicalVolume& volume) {
    if (!is_striped(segment)) {
      keep(volume, fmt::format("the logical volume is of the kind {}", segment.text("type")));
      return;
    }
    const auto areas = areas_of(segment.list("stripes"));
    const std::uint64_t count = segment.number("extent_count");
    if (segment.number("stripe_count") != areas.size() || count % areas.size() != 0) {
      damaged("the stripes of a logical volume are damaged");
    }
    VolumeSegment result;
    result.range = {first * extent_size_, count * extent_size_};
    result.stripe_size =
        areas.size() == 1 ? result.range.length : segment.number("stripe_size") * sector;
    if (result.stripe_size == 0 || (areas.size() > 1 && extent_size_ % result.stripe_size != 0)) {
      damaged("the stripes of a logical volume are damaged");
    }
    for (const Area& area : areas) {
      if (area.name != our_name_) {
        keep(volume, "a part of the logical volume lies elsewhere");
        continue;
      }
      use_extents(area.extent, count / areas.size());
      result.stripes.push_back(begin_ + area.extent * extent_size_);
    }
    volume.segments.push_back(std::move(result));
  }

  void use_extents(std::uint64_t first, std::uint64_t count) {
    if (first > extents_ || count > extents_ - first)
      damaged("a logical volume lies behind its end");
    used_.push_back({begin_ + first * extent_size_, count * extent_size_});
  }

  std::vector<io::ByteRange> free_extents() {
    std::sort(used_.begin(), used_.end(),
              [](const io::ByteRange& a, const io::ByteRange& b) { return a.offset < b.offset; });
    used_.push_back({begin_ + extents_ * extent_size_, 0});
    std::vector<io::ByteRange> free;
    std::uint64_t end = begin_;
    for (const io::ByteRange& range : used_) {
      if (range.offset < end) damaged("two logical volumes share space");
      if (range.offset > end) free.push_back(io::range_between(end, range.offset));
      end = range.end();
    }
    return free;
  }

  DiskView& view_;
  std::unique_ptr<lvm::Metadata> metadata_;
  std::string group_name_;
  const Section& group_;
  std::uint64_t extent_size_ = 0;
  std::uint64_t begin_ = 0;
  std::uint64_t extents_ = 0;
  std::string our_name_;
  std::set<std::string, std::less<>> physical_names_;
  lvm::Parts parts_;
  std::vector<io::ByteRange> used_;
  std::vector<LogicalVolume> volumes_;
  std::map<std::string, LogicalVolume, std::less<>> hidden_;  // parts of others, linear or striped
  std::vector<lvm::ThinCandidate> thin_;
};

// Where `wanted`, which lies inside the segment, is: stripe after stripe in turn.
void add_pieces(const VolumeSegment& segment, io::ByteRange wanted,
                std::vector<VolumePiece>& pieces) {
  for (std::uint64_t at = wanted.offset; at < wanted.end();) {
    const std::uint64_t inside = at - segment.range.offset;
    const std::uint64_t turn = inside / segment.stripe_size;
    const std::uint64_t offset = inside % segment.stripe_size;
    const std::uint64_t length = std::min(segment.stripe_size - offset, wanted.end() - at);
    const std::uint64_t stripe = segment.stripes[turn % segment.stripes.size()];
    const std::uint64_t place =
        stripe + turn / segment.stripes.size() * segment.stripe_size + offset;
    if (!pieces.empty() && pieces.back().range.end() == place) {
      pieces.back().range.length += length;
    } else {
      pieces.push_back({at, {place, length}});
    }
    at += length;
  }
}

}  // namespace

std::optional<FileSystem> probe_lvm(DiskView& view, MapCheck /*check*/) {
  if (!lvm::has_label(view)) return std::nullopt;
  FileSystem known;
  known.type = physical_volume_type;
  known.size = view.size();
  return mapped(std::move(known), check_it,
                [&](FileSystem& found) { LvmReader(view).read(found); });
}

std::vector<VolumePiece> pieces_of(const LogicalVolume& volume, io::ByteRange range) {
  std::vector<VolumePiece> pieces;
  for (const VolumeSegment& segment : volume.segments) {
    add_pieces(segment, io::intersection(segment.range, range), pieces);
  }
  return pieces;
}

std::vector<io::ByteRange> places_of(const LogicalVolume& volume, io::ByteRange range) {
  std::vector<io::ByteRange> places;
  const auto add = [&](const VolumeSegment& segment, io::ByteRange part) {
    std::vector<VolumePiece> pieces;
    add_pieces(segment, part, pieces);
    for (const VolumePiece& piece : pieces) places.push_back(piece.range);
  };
  for (const VolumeSegment& segment : volume.segments) {
    const io::ByteRange wanted = io::intersection(segment.range, range);
    if (wanted.empty()) continue;
    // Whole rounds through all stripes are one range of each.
    const std::uint64_t round = segment.stripe_size * segment.stripes.size();
    const std::uint64_t begin = segment.range.offset;
    const std::uint64_t first = io::align_up(wanted.offset - begin, round);
    const std::uint64_t last = io::align_down(wanted.end() - begin, round);
    if (first >= last) {
      add(segment, wanted);
      continue;
    }
    add(segment, io::range_between(wanted.offset, begin + first));
    for (const std::uint64_t stripe : segment.stripes) {
      const std::uint64_t stripes = segment.stripes.size();
      places.push_back({stripe + first / stripes, (last - first) / stripes});
    }
    add(segment, io::range_between(begin + last, wanted.end()));
  }
  return places;
}

io::Task<std::size_t> VolumeSource::read(io::ByteRange range, io::Buffer buffer) {
  const auto pieces = pieces_of(volume_, range);
  for (const VolumePiece& piece : pieces) {
    // Memory of its own, since pieces may begin anywhere and requests want whole pages.
    const io::AlignedMemory memory(piece.range.length);
    const io::ByteRange place{begin_ + piece.range.offset, piece.range.length};
    (void)co_await source_.read(place, memory.buffer());
    const auto content = memory.bytes().first(piece.range.length);
    const auto target = buffer.bytes.subspan(piece.volume_offset - range.offset);
    std::copy(content.begin(), content.end(), target.begin());
  }
  co_return range.length;
}

}  // namespace formats::filesystems

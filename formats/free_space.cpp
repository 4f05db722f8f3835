#include "formats/free_space.hpp"

#include <algorithm>

#include "formats/filesystems/probe.hpp"

namespace formats {
namespace {

using filesystems::FileSystem;

std::vector<io::ByteRange> moved(std::vector<io::ByteRange> ranges, std::uint64_t by) {
  for (io::ByteRange& range : ranges) range.offset += by;
  return ranges;
}

class Search {
 public:
  Search(DiskView& disk, const std::vector<InUse>& in_use) : disk_(disk), in_use_(in_use) {}

  FreeSpace run() {
    look_into("whole disk", io::ByteRange{0, disk_.size()}, {.last_on_disk = true});
    finish();
    return std::move(result_);
  }

 private:
  void look_into(std::string name, io::ByteRange range, const filesystems::Surroundings& around) {
    DiskView view = disk_.part(range);
    Container container{std::move(name), range, filesystems::probe(view, around), {}};
    for (const InUse& use : in_use_) {
      if (io::intersection(use.range, range).empty()) continue;
      container.file_system.free.clear();
      container.file_system.kept_because = use.because;
      container.file_system.remedy = use.remedy;
    }
    container.free = moved(container.file_system.free, range.offset);
    const auto witnesses = moved(container.file_system.witnesses, range.offset);
    result_.witnesses.insert(result_.witnesses.end(), witnesses.begin(), witnesses.end());
    result_.containers.push_back(std::move(container));
  }

  void finish() {
    auto& free = result_.free;
    for (const Container& container : result_.containers) {
      free.insert(free.end(), container.free.begin(), container.free.end());
    }
    std::sort(free.begin(), free.end(),
              [](const io::ByteRange& a, const io::ByteRange& b) { return a.offset < b.offset; });
    std::size_t kept = 0;
    for (const io::ByteRange& range : free) {
      if (kept > 0 && free[kept - 1].end() == range.offset) {
        free[kept - 1].length += range.length;
      } else {
        free[kept++] = range;
      }
    }
    free.resize(kept);
  }

  DiskView& disk_;
  const std::vector<InUse>& in_use_;
  FreeSpace result_;
};

}  // namespace

FreeSpace find_free_space(DiskView& disk, const std::vector<InUse>& in_use) {
  return Search(disk, in_use).run();
}

}  // namespace formats

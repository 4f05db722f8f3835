#include "imgtool/jobs/swap_file.hpp"

#include "formats/disks/file_source.hpp"
#include "formats/disks/filesystems/swap.hpp"

namespace imgtool {

formats::SwapFileTest swap_file_test(InnerFileSystem& files) {
  return [&files](formats::filesystems::NodeId id, const formats::filesystems::Node&) {
    formats::filesystems::FileMap map = files.tree().map_of(id);
    if (!formats::FileSource::is_plain(map)) return false;
    formats::FileSource content(files.view(), std::move(map));
    formats::DiskView view(files.view().ring(), content, files.view().stop());
    const auto found = formats::filesystems::probe_swap(view);
    return found.has_value();
  };
}

}  // namespace imgtool

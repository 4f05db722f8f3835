#include "imgtool/jobs/entry_list.hpp"

#include <algorithm>

#include "io/error.hpp"

namespace imgtool {

using formats::filesystems::Entry;

EntryList::EntryList(formats::filesystems::FileTree& tree, formats::filesystems::NodeId folder,
                     const std::string& image) {
  constexpr std::size_t most_entries = std::size_t{4} << 20;
  constexpr std::size_t most_bytes = std::size_t{256} << 20;
  tree.list(folder, [&](const Entry& entry) {
    if (entries_.size() == most_entries || names_.size() + entry.name.size() > most_bytes) {
      throw io::Error(io::ErrorKind::unsupported, image,
                      "a folder has more entries than imgtool lists");
    }
    entries_.push_back({static_cast<std::uint32_t>(names_.size()),
                        static_cast<std::uint32_t>(entry.name.size()), entry.id});
    names_ += entry.name;
    return true;
  });
}

void EntryList::sort_by_name() {
  std::sort(entries_.begin(), entries_.end(),
            [this](const Kept& a, const Kept& b) { return name_of(a) < name_of(b); });
}

}  // namespace imgtool

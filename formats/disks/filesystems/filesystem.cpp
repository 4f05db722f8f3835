#include "formats/disks/filesystems/filesystem.hpp"

#include <cassert>

namespace formats::filesystems {

void FileSystem::keep(Reason why, std::string because, std::string what_to_do) {
  assert(why != Reason::none);
  reason = why;
  kept_because = std::move(because);
  remedy = std::move(what_to_do);
  free.clear();
  witnesses.clear();
  map_is_believed = false;
  warning.clear();
  volumes.clear();
}

FileSystem keep_whole(std::string type, std::uint64_t size, Reason reason, std::string because,
                      std::string remedy) {
  FileSystem kept;
  kept.type = std::move(type);
  kept.size = size;
  kept.keep(reason, std::move(because), std::move(remedy));
  return kept;
}

}  // namespace formats::filesystems

#include "formats/filesystems/filesystem.hpp"

namespace formats::filesystems {

FileSystem keep_whole(std::string type, std::uint64_t size, std::string because,
                      std::string remedy) {
  FileSystem kept;
  kept.type = std::move(type);
  kept.size = size;
  kept.kept_because = std::move(because);
  kept.remedy = std::move(remedy);
  return kept;
}

}  // namespace formats::filesystems

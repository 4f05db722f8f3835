#include "formats/disks/filesystems/doubt.hpp"

#include "io/error.hpp"

namespace formats::filesystems {

FileSystem mapped(FileSystem known, std::string_view repair,
                  const std::function<void(FileSystem&)>& map) {
  try {
    map(known);
  } catch (const Doubt& doubt) {
    known.keep(doubt.reason, doubt.because, doubt.remedy);
  } catch (const io::Error& error) {
    if (error.kind() != io::ErrorKind::format) throw;
    known.keep(Reason::damaged, std::string("it is damaged: ") + error.what(), std::string(repair));
  }
  return known;
}

}  // namespace formats::filesystems

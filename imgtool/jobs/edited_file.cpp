#include "imgtool/jobs/edited_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/probe.hpp"
#include "imgtool/jobs/checked_file.hpp"
#include "imgtool/jobs/device_words.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/devices/device_usage.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool {

io::File open_alone(const std::string& path, bool devices, std::string_view why) {
  const io::FileStatus seen = io::status_of(path);
  const bool device = seen.kind == io::FileKind::block_device;
  if (seen.kind != io::FileKind::regular && !(devices && device)) {
    throw io::Error::refusal(path, fmt::format("is not a regular file{}", why));
  }
  io::File file = open_as_seen(path, seen, O_RDWR | (device ? O_EXCL : 0));
  const io::DeviceInventory inventory;
  const auto reasons = io::DeviceUsage(inventory).reasons_not_to_write(path_of_open(file), {});
  if (!reasons.empty()) throw io::Error::refusal(path, phrase_of(reasons.front()));
  io::lock_image(file, io::ImageUse::writing);
  return file;
}

io::File open_qcow2_alone(const std::string& path, std::string_view what) {
  io::File file = open_alone(path, true);
  const formats::Format format = formats::probe(file);
  if (format == formats::Format::qcow2) return file;
  throw io::Error(io::ErrorKind::unsupported, path,
                  fmt::format("is {}; only qcow2 images have {}", formats::name_of(format), what));
}

}  // namespace imgtool

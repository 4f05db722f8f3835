// imgtool resize FILE [+-]SIZE
#include <fcntl.h>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/image.hpp"
#include "formats/partitions/end_of_use.hpp"
#include "formats/qcow2/create_options.hpp"
#include "formats/qcow2/repair.hpp"
#include "formats/qcow2/resize.hpp"
#include "formats/reference.hpp"
#include "imgtool/command.hpp"
#include "imgtool/escape.hpp"
#include "imgtool/exit_code.hpp"
#include "imgtool/human.hpp"
#include "imgtool/image_options.hpp"
#include "imgtool/job.hpp"
#include "imgtool/report.hpp"
#include "imgtool/signals.hpp"
#include "imgtool/usage_error.hpp"
#include "io/device_inventory.hpp"
#include "io/device_usage.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

struct ResizeOptions {
  std::string path;
  std::string size;
  formats::OpenOptions open;
  bool shrink = false;
  bool discard_content = false;
  JobOptions job;
};

struct Change {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
};

std::uint64_t new_size(const std::string& word, std::uint64_t now) {
  const bool relative = word.starts_with('+') || word.starts_with('-');
  const std::uint64_t size = parse_size(relative ? word.substr(1) : word);
  if (!relative) return size;
  if (word.front() == '-') {
    if (size > now) throw UsageError(fmt::format("'{}': the disk has only {} bytes", word, now));
    return now - size;
  }
  if (size > formats::qcow2::largest_disk) throw UsageError(fmt::format("'{}' is too much", word));
  return now + size;
}

void refuse_if_used(const std::string& path) {
  if (io::status_of(path).kind != io::FileKind::regular) {
    throw io::Error(io::ErrorKind::refused, path, "is not a regular file, so its size is not ours");
  }
  const io::DeviceInventory inventory;
  const auto reasons = io::DeviceUsage(inventory).reasons_not_to_write(path, {});
  if (reasons.empty()) return;
  throw io::Error(io::ErrorKind::refused, path, reasons.front().phrase());
}

// An overlay that grows shows what its backing file has behind the overlay's old end.
void refuse_longer_backing(const ResizeOptions& o, const formats::qcow2::Header& header) {
  if (header.backing_file.empty()) return;
  if (!o.open.follow_references) {
    throw io::Error(io::ErrorKind::refused, o.path,
                    "has a backing file, whose size matters when it grows; --follow-references "
                    "allows to open it");
  }
  formats::ReferenceChain chain;
  chain.begin(io::File(o.path, O_RDONLY), formats::Format::qcow2);
  const auto base = chain.open_next(o.path, header.backing_file, header.backing_format);
  const std::uint64_t size = base.format == formats::Format::qcow2
                                 ? formats::qcow2::read_header(base.file).virtual_size
                                 : base.file.size();
  if (size <= header.virtual_size) return;
  throw io::Error(io::ErrorKind::refused, o.path,
                  "has a longer backing file, whose content would come to light behind the old "
                  "end; convert it to an image of its own first");
}

void resize_qcow2(const ResizeOptions& o, const io::File& file, const Change& change) {
  if (change.after < change.before) {
    formats::qcow2::shrink(file, change.after, stop_flag());
  } else if (change.after > change.before) {
    refuse_longer_backing(o, formats::qcow2::read_header(file));
    formats::qcow2::grow(file, change.after, stop_flag());
  }
}

void refuse_loss(io::Ring& ring, const ResizeOptions& o, formats::Image& image,
                 std::uint64_t after) {
  if (!o.shrink) {
    throw io::Error(io::ErrorKind::refused, o.path,
                    fmt::format("has {} bytes; making it smaller loses what is at its end, so it "
                                "needs --shrink",
                                image.size().value()));
  }
  if (o.discard_content) return;
  formats::DiskView view(ring, image);
  const auto used = formats::partitions::end_of_use(view);
  if (after >= used.bytes) return;
  throw io::Error(io::ErrorKind::refused, o.path,
                  fmt::format("is in use up to {}: {}; --discard-content cuts that off", used.bytes,
                              used.because));
}

Change resize(const ResizeOptions& o) {
  refuse_if_used(o.path);
  // Before its size is looked at: who else changes it is done then, or has not begun. qemu's locks
  // lie on the same bytes, whatever the format is.
  const io::File file(o.path, O_RDWR);
  formats::qcow2::lock_for_writing(file);
  const auto ring = make_ring(o.job, 16);
  Change change;
  formats::Format format{};
  {
    formats::OpenOptions open = o.open;
    open.layout_only = !o.shrink || o.discard_content;  // else its content is looked at
    const auto image = formats::open_image(*ring, o.path, open);
    format = image->format();
    if (format != formats::Format::raw && format != formats::Format::qcow2) {
      throw io::Error(io::ErrorKind::unsupported, o.path,
                      fmt::format("is {}; only raw and qcow2 images can change their size",
                                  formats::name_of(format)));
    }
    change.before = image->size().value();
    change.after = new_size(o.size, change.before);
    if (format == formats::Format::qcow2) {
      change.after = formats::qcow2::virtual_size_for(change.after);
    }
    if (change.after < change.before) refuse_loss(*ring, o, *image, change.after);
  }
  if (format == formats::Format::qcow2) {
    resize_qcow2(o, file, change);
  } else {
    file.truncate(change.after);
    file.sync();
  }
  return change;
}

}  // namespace

int run_resize(const Arguments& arguments) {
  ResizeOptions o;
  CommandLine line("resize",
                   "Changes the size of an image's disk, in place. Partitions and file systems in "
                   "it stay as they are.");
  line.argument("FILE", o.path, "raw or qcow2 image");
  line.argument("SIZE", o.size, "new size; +SIZE or -SIZE for more or less");
  line.option("format,f", format_into(o.open.format),
              "format of the image (default: its content decides)");
  line.option("follow-references", flag_into(o.open.follow_references),
              "open the files that the image names");
  line.option("shrink", flag_into(o.shrink), "allow it to become smaller, where nothing is in use");
  line.option("discard-content", flag_into(o.discard_content),
              "with --shrink: cut off partitions and data, too");
  line.job_options(o.job);
  line.exit_code(exit_code::refused, "the image is in use, or would lose content");
  line.example("imgtool resize disk.qcow2 +10G", "ten gigabytes more");
  line.example("imgtool resize --shrink disk.img 8G",
               "smaller, unless a partition or file system ends beyond that");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.discard_content && !o.shrink) throw UsageError("resize: --discard-content needs --shrink");
  const Change change = resize(o);
  if (line.common().json) {
    print_json({{"image", o.path}, {"size-before", change.before}, {"size", change.after}});
  } else {
    print(terminal_text(fmt::format("{}: {}, was {}", o.path, human_size(change.after),
                                    human_size(change.before))) +
          "\n");
  }
  return exit_code::done;
}

}  // namespace imgtool

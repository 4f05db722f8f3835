// imgtool resize FILE [+-]SIZE
#include <fcntl.h>

#include <fmt/format.h>

#include "formats/disks/end_of_use.hpp"
#include "formats/disks/partitions/layout.hpp"
#include "formats/images/image.hpp"
#include "formats/images/qcow2/create_options.hpp"
#include "formats/images/qcow2/resize.hpp"
#include "formats/images/reference.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/resized_table.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

struct ResizeOptions {
  std::string path;
  std::string size;
  formats::OpenOptions open;
  bool shrink = false;
  bool discard_content = false;
  bool force_cut = false;
  bool relocate_gpt = true;
  JobOptions job;
};

struct Change {
  std::uint64_t before = 0;
  std::uint64_t after = 0;
  std::uint64_t cut_off = 0;  // bytes that were not zeros, and in no partition
  bool table_moved = false;   // a backup GPT is at the new end
  std::string table_left{};   // why there is one that is not; or ""
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

// Gives how many bytes are lost that are not zeros, and in no partition or file system.
std::uint64_t refuse_loss(io::Ring& ring, const ResizeOptions& o, formats::Image& image,
                          std::uint64_t after) {
  if (!o.shrink) {
    throw io::Error(io::ErrorKind::refused, o.path,
                    fmt::format("has {} bytes; making it smaller loses what is at its end, so it "
                                "needs --shrink",
                                image.size().value()));
  }
  if (o.discard_content) return 0;
  formats::DiskView view(ring, image, &stop_flag());
  const auto layout = formats::partitions::read_layout(view);
  const auto used = formats::end_of_use(view, layout);
  if (after < used.bytes) {
    throw io::Error::refusal(
        o.path, fmt::format("is in use up to {}: {}; --discard-content cuts that off", used.bytes,
                            used.because));
  }
  const auto remains = formats::remains_behind(view, layout, after, formats::Reach::all);
  if (remains.bytes == 0 || o.force_cut) return remains.bytes;
  throw io::Error::refusal(
      o.path, fmt::format("{} that are not zeros lie behind the new end, at {} to {}, in no "
                          "partition or file system that is known; --force-cut cuts them off",
                          human_size(remains.bytes), remains.range.offset, remains.range.end()));
}

// At any moment of it the image is as long as its partition table needs it.
void resize_raw(const io::File& file, const std::optional<ResizedTable>& table, Change& change) {
  if (change.after > change.before) {
    file.truncate(change.after);
    file.sync();
  }
  if (table) {
    change.table_moved = table->moves();
    change.table_left = table->kept_because();
    if (table->moves()) table->write(file);
  }
  file.truncate(change.after);
  file.sync();
}

// Nothing where an image is a qcow2 whose content cannot be looked at, as without its backing file.
std::optional<ResizedTable> table_of(io::Ring& ring, const ResizeOptions& o, const io::File& file,
                                     formats::Format format, std::uint64_t size_after) {
  formats::OpenOptions open = o.open;
  open.force_share = true;  // the lock is ours
  try {
    const auto image = formats::open_image(ring, file.reopened(), open);
    return ResizedTable(ring, *image, size_after);
  } catch (const io::Error&) {
    if (format == formats::Format::raw) throw;
    return std::nullopt;
  }
}

Change resize(const ResizeOptions& o) {
  // Before its size is looked at: who else changes it is done then, or has not begun. qemu's locks
  // lie on the same bytes, whatever the format is.
  const io::File file = open_alone(o.path, false, ", so its size is not ours");
  const auto ring = make_ring(o.job, 16);
  Change change;
  formats::Format format{};
  std::optional<ResizedTable> table;
  {
    formats::OpenOptions open = o.open;
    open.force_share = true;                            // the lock is ours
    open.layout_only = !o.shrink || o.discard_content;  // else its content is looked at
    const auto image = formats::open_image(*ring, file.reopened(), open);
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
    if (change.after < change.before) {
      change.cut_off = refuse_loss(*ring, o, *image, change.after);
    }
  }
  if (o.relocate_gpt && change.after != change.before) {
    table = table_of(*ring, o, file, format, change.after);
  }
  if (format == formats::Format::qcow2) {
    resize_qcow2(o, file, change);
    if (table && table->moves()) {
      change.table_left = "in a qcow2 image it is moved by what is run in it (sgdisk -e, parted)";
    }
  } else {
    resize_raw(file, table, change);
  }
  return change;
}

}  // namespace

int run_resize(const Arguments& arguments) {
  ResizeOptions o;
  CommandLine line("resize",
                   "Changes the size of an image's disk, in place. Partitions and file systems in "
                   "it stay as they are; a GPT's backup moves to the new end.");
  line.argument("FILE", o.path, "raw or qcow2 image");
  line.argument("SIZE", o.size, "new size; +SIZE or -SIZE for more or less");
  line.option("format,f", format_into(o.open.format),
              "format of the image (default: its content decides)");
  line.option("follow-references", flag_into(o.open.follow_references),
              "open the files that the image names");
  line.option("shrink", flag_into(o.shrink), "allow it to become smaller, where nothing is in use");
  line.option("discard-content", flag_into(o.discard_content),
              "with --shrink: cut off partitions and data, too");
  line.option("force-cut", flag_into(o.force_cut),
              "with --shrink: cut off what is not zeros but in no partition or file system, too; "
              "it may be a RAID's or LVM's metadata, hashes, or left over from before");
  line.option("relocate-gpt", choice_into(o.relocate_gpt, {{"auto", true}, {"never", false}}),
              "move the backup GPT of a raw image to its new end, or leave it where it is");
  line.job_options(o.job);
  line.exit_code(exit_code::refused, "the image is in use, or would lose content");
  line.example("imgtool resize disk.qcow2 +10G", "ten gigabytes more");
  line.example("imgtool resize --shrink disk.img 8G",
               "smaller, unless a partition or file system ends beyond that");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.discard_content && !o.shrink) throw UsageError("resize: --discard-content needs --shrink");
  if (o.force_cut && !o.shrink) throw UsageError("resize: --force-cut needs --shrink");
  const Change change = resize(o);
  if (line.common().json) {
    print_json({{"image", o.path},
                {"size-before", change.before},
                {"size", change.after},
                {"cut-off-bytes", change.cut_off},
                {"backup-moved", change.table_moved},
                {"kept-because", change.table_left.empty() ? Json() : Json(change.table_left)}});
  } else {
    std::string text =
        fmt::format("{}: {}, was {}", o.path, human_size(change.after), human_size(change.before));
    if (change.cut_off > 0) text += fmt::format("; {} cut off", human_size(change.cut_off));
    if (change.table_moved) text += "; backup GPT moved to the end";
    if (!change.table_left.empty()) {
      text += "; its backup GPT stays where it is: " + change.table_left;
    }
    print(terminal_text(text) + "\n");
  }
  return exit_code::done;
}

}  // namespace imgtool

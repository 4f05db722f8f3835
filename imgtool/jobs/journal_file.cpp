#include "imgtool/jobs/journal_file.hpp"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "formats/images/mapfile.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/report.hpp"
#include "io/buffer_pool.hpp"
#include "io/digest.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

constexpr std::string_view source_label = "imgtool source: ";
constexpr std::string_view target_label = "imgtool target: ";
constexpr std::string_view content_label = "imgtool content: ";
constexpr std::size_t sample_size = 4096;
constexpr std::uint64_t most_samples = 64;  // of an image

// What the mapfile says behind `label`; nothing when it is not one of ours.
std::optional<std::string> comment(const formats::Mapfile& mapfile, std::string_view label) {
  for (const std::string& line : mapfile.comments) {
    if (line.starts_with(label)) return line.substr(label.size());
  }
  return std::nullopt;
}

io::BlockState state_of(formats::BlockStatus status) {
  switch (status) {
    case formats::BlockStatus::finished:
      return io::BlockState::done;
    case formats::BlockStatus::bad_sector:
      return io::BlockState::bad;
    default:
      return io::BlockState::untried;
  }
}

formats::BlockStatus status_of(io::BlockState state) {
  switch (state) {
    case io::BlockState::done:
      return formats::BlockStatus::finished;
    case io::BlockState::bad:
      return formats::BlockStatus::bad_sector;
    case io::BlockState::untried:
      break;
  }
  return formats::BlockStatus::non_tried;
}

io::Journal load(const std::string& path, const JobIdentity& identity) {
  const auto mapfile = formats::load_mapfile(path);
  if (!mapfile)
    throw io::Error::refusal(path, "there is no such mapfile to go on with; leave out --resume");
  const auto source = comment(*mapfile, source_label);
  const auto target = comment(*mapfile, target_label);
  if (!source || !target)
    throw io::Error::refusal(path, "was not made by imgtool, so nothing is resumed");
  if (mapfile->blocks.size() != identity.size) {
    throw io::Error::refusal(path, fmt::format("belongs to a job of {} bytes, this one has {}",
                                               mapfile->blocks.size(), identity.size));
  }
  if (*source != identity.source) {
    throw io::Error::refusal(path,
                             fmt::format("belongs to another source, or it was changed since: {}, "
                                         "this one is {}",
                                         *source, identity.source));
  }
  if (*target != identity.target) {
    throw io::Error::refusal(path, fmt::format("belongs to another target: {}, this one is {}",
                                               *target, identity.target));
  }
  const std::string content = comment(*mapfile, content_label).value_or("");
  if (!content.empty() && !identity.content.empty() && content != identity.content) {
    throw io::Error::refusal(
        path, fmt::format("belongs to a disk with {}, this one has {}", content, identity.content));
  }
  io::RangeMap<io::BlockState> states(identity.size, io::BlockState::untried);
  for (const auto& entry : mapfile->blocks) states.set(entry.range, state_of(entry.value));
  return io::Journal(states);
}

io::Journal open_journal(const std::string& path, const JobIdentity& identity, bool resume) {
  if (resume) return load(path, identity);
  refuse_existing_mapfile(path);
  return io::Journal(identity.size);
}

}  // namespace

std::string image_identity(io::Ring& ring, ImageSource& image) {
  const std::uint64_t size = image.source().size().value_or(0);
  const io::AlignedMemory memory(sample_size);
  io::Digest digest(io::DigestAlgorithm::xxh3);
  const std::uint64_t step =
      std::max<std::uint64_t>(sample_size, io::align_down(size / most_samples, sample_size));
  for (std::uint64_t at = 0; at < size; at += step) {
    const io::ByteRange sample = io::range_between(at, std::min(at + sample_size, size));
    io::run_task(ring, image.source().read(sample, memory.buffer()));
    digest.update(memory.bytes().first(sample.length));
  }
  return terminal_text(
      fmt::format("an image of {} bytes, {}, sample {}", size, image.version(), digest.hex()));
}

std::string disk_identity(const io::BlockDevice& disk) {
  if (disk.serial.empty()) {
    std::string text = fmt::format("{}, {} bytes", disk.path, disk.size_bytes);
    if (disk.backing_file) text += fmt::format(", shows {}", *disk.backing_file);
    return terminal_text(text);
  }
  return terminal_text(
      fmt::format("{}, serial {}, {} bytes", disk.model, disk.serial, disk.size_bytes));
}

std::string file_identity(const std::string& path) {
  return terminal_text("file " + std::filesystem::absolute(path).lexically_normal().string());
}

std::string kept_file_identity(const std::string& path, const io::File& file) {
  return fmt::format("{}, inode {}", file_identity(path), file.status().identity.inode);
}

std::string source_file_identity(const std::string& path, const io::File& file) {
  return fmt::format("{}, changed at {} ns", file_identity(path), file.status().modified_ns);
}

void refuse_existing_mapfile(const std::string& path) {
  if (!io::exists(path)) return;
  throw io::Error::refusal(path,
                           "exists already; --resume goes on with it, or remove it to start anew");
}

JournalFile::JournalFile(std::string path, JobIdentity identity, bool resume)
    : path_(std::move(path)),
      identity_(std::move(identity)),
      journal_(open_journal(path_, identity_, resume)) {
  formats::save_mapfile(mapfile(), path_);
}

formats::Mapfile JournalFile::mapfile() const {
  formats::Mapfile mapfile;
  mapfile.comments = {"Rescue mapfile, written by imgtool " IMGTOOL_VERSION,
                      std::string(source_label) + identity_.source,
                      std::string(target_label) + identity_.target};
  if (!identity_.content.empty()) {
    mapfile.comments.push_back(std::string(content_label) + identity_.content);
  }
  mapfile.blocks = io::RangeMap(identity_.size, formats::BlockStatus::non_tried);
  bool finished = true;
  for (const auto& entry : journal_.states()) {
    mapfile.blocks.set(entry.range, status_of(entry.value));
    if (entry.value == io::BlockState::untried && std::exchange(finished, false)) {
      mapfile.position = entry.range.offset;
    }
  }
  if (finished) mapfile.phase = formats::RescuePhase::finished;
  return mapfile;
}

void JournalFile::save() {
  try {
    formats::save_mapfile(mapfile(), path_);
  } catch (const io::Error& error) {
    if (std::exchange(complained_, true)) return;
    complain(fmt::format("the job goes on, but could not be resumed from here: {}",
                         terminal_text(error.what())));
  }
}

std::string JournalFile::advice() const {
  return fmt::format("to go on: the same command with --resume --mapfile {}", terminal_text(path_));
}

}  // namespace imgtool

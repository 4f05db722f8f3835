#include "imgtool/jobs/burn_target.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imgtool/jobs/burn_medium.hpp"
#include "imgtool/jobs/checked_file.hpp"
#include "imgtool/jobs/device_words.hpp"
#include "imgtool/jobs/journal_file.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/devices/system_roots.hpp"
#include "io/error.hpp"
#include "io/file_source.hpp"
#include "io/image_lock.hpp"
#include "io/observer.hpp"

namespace imgtool {
namespace {

constexpr std::chrono::seconds patience{2};
constexpr std::chrono::seconds patience_with_writes{60};
constexpr std::chrono::milliseconds retry_pause{20};
constexpr std::uint64_t largest_file = (std::uint64_t{1} << 63) - 1;

// All reasons in one line, each with its way out.
std::string in_words(const std::vector<io::DeviceUse>& uses) {
  std::string text;
  for (const io::DeviceUse& use : uses) {
    if (!text.empty()) text += "; ";
    text += phrase_of(use);
    if (!remedy_of(use).empty()) text += fmt::format(" (to free it: {})", remedy_of(use));
  }
  return text;
}

// Whether the file behind a loop device has all of its blocks.
bool is_allocated(const io::BlockDevice& loop) {
  struct stat found {};
  if (!loop.backing_file || ::stat(loop.backing_file->c_str(), &found) != 0) return true;
  constexpr off_t block = 512;  // of st_blocks
  return found.st_blocks * block >= found.st_size;
}

}  // namespace

BurnTarget::BurnTarget(std::string path, const std::vector<std::string>& images,
                       const io::DeviceUsage& usage, const BurnTargetOptions& options)
    : path_(std::move(path)), options_(options) {
  refuse_device_like_name(path_, false);
  const bool exists = io::exists(path_);
  if (exists) checked_ = io::status_of(path_);
  const auto kind = exists ? checked_.kind : io::FileKind::regular;
  if (kind != io::FileKind::block_device && kind != io::FileKind::regular) {
    throw io::Error::refusal(path_, "is neither a disk nor a regular file");
  }
  if (kind == io::FileKind::block_device) {
    open_device(usage, images);
  } else {
    open_file(images, usage);
  }
  check_serial(usage.stack().inventory().roots());
  check_size();
}

// `name` leads to the target: its path, or what is open already.
void BurnTarget::refuse_uses(const std::string& name, const io::DeviceUsage& usage,
                             const std::vector<std::string>& images) const {
  const auto reasons = usage.lasting_reasons_not_to_write(name, images);
  if (!reasons.empty()) throw io::Error::refusal(path_, in_words(reasons));
}

// First it is opened, so that no mount and no other program can come in between; then it is looked
// at who uses what is open.
void BurnTarget::open_device(const io::DeviceUsage& usage, const std::vector<std::string>& images) {
  hold(usage, images);
  capacity_ = file_.status().size;
  const io::DeviceInventory& inventory = usage.stack().inventory();
  const io::BlockDevice* known = inventory.find(checked_.identity.device);
  if (known == nullptr) {
    throw io::Error::refusal(path_, "is not in /sys, so what uses it cannot be known; try again");
  }
  refuse_uses(path_of_open(file_), usage, images);
  // QEMU takes its locks on a host's device as on a file.
  io::lock_image(file_, io::ImageUse::writing);
  // Some card readers tell of a card only when they are opened.
  if (known->size_bytes != 0 && known->size_bytes != capacity_) {
    throw io::Error::refusal(
        path_, fmt::format("had {} bytes when it was looked at, and has {} now that it is open: "
                           "was the medium changed? Try again",
                           known->size_bytes, capacity_));
  }
  device_ = *known;
  queue_ = inventory.queue_limits(*known);
}

// The kernel lets go of a killed program's files only once the disk has taken what that program had
// asked it to write.
void BurnTarget::hold(const io::DeviceUsage& usage, const std::vector<std::string>& images) {
  const io::DeviceInventory& inventory = usage.stack().inventory();
  const io::BlockDevice* known = inventory.find(checked_.identity.device);
  const auto begin = std::chrono::steady_clock::now();
  auto deadline = begin + patience;
  bool waited_for_writes = false;
  while (!try_open_exclusively(usage, images)) {
    refuse_uses(path_, usage, images);
    io::throw_if_stopped(stop_flag(), path_);
    const auto activity = known != nullptr ? inventory.activity(*known) : std::nullopt;
    const auto now = std::chrono::steady_clock::now();
    if (activity && activity->in_flight > 0 && now < begin + patience_with_writes) {
      if (!std::exchange(waited_for_writes, true)) {
        complain(terminal_text(fmt::format(
            "note: {} still takes what a program that has ended wrote to it; waiting", path_)));
      }
      deadline = now + patience;
    }
    if (now >= deadline) {
      throw io::Error::refusal(
          path_, waited_for_writes
                     ? "still takes what a program that has ended wrote to it; try again later, or "
                       "unplug it and plug it in again"
                     : "is in use, by a mount in another namespace or a driver; nothing here tells "
                       "by what");
    }
    std::this_thread::sleep_for(retry_pause);
  }
}

// False: something holds it.
bool BurnTarget::try_open_exclusively(const io::DeviceUsage& usage,
                                      const std::vector<std::string>& images) {
  try {
    file_ = open_as_seen(path_, checked_, O_RDWR | O_EXCL);
  } catch (const io::Error& error) {
    if (error.error_number() == EBUSY) return false;
    if (error.error_number() != EROFS && error.error_number() != EACCES) throw;
    refuse_uses(path_, usage, images);
    const bool no_root = error.error_number() == EACCES && ::geteuid() != 0;
    throw io::Error::refusal(path_, fmt::format("cannot be opened for writing: {}{}",
                                                io::errno_text(error.error_number()),
                                                no_root ? "; run imgtool with sudo" : ""));
  }
  return true;
}

void BurnTarget::open_file(const std::vector<std::string>& images, const io::DeviceUsage& usage) {
  capacity_ = largest_file;
  const bool would_be_made = checked_.kind != io::FileKind::regular;
  if (would_be_made) {
    check_output_path(path_, images, usage);
    output_ = std::make_unique<io::OutputFile>(
        path_, false,
        options_.resume ? io::OutputFile::Start::resume : io::OutputFile::Start::empty);
    if (!output_->locked()) note_no_locks(path_);
    return;
  }
  refuse_deleted(path_);
  refuse_uses(path_, usage, images);
  if (!options_.overwrite_files && !options_.resume) {
    refuse_swapped(images);
    throw io::Error::refusal(path_,
                             "exists already; --force overwrites it in place, as a disk would be");
  }
  file_ = open_as_seen(path_, checked_, O_RDWR);
  refuse_uses(path_of_open(file_), usage, images);
  lock_file();
  size_before_ = file_.size();
}

// A disk as the image, and an image that is there already as the target.
void BurnTarget::refuse_swapped(const std::vector<std::string>& images) const {
  if (images.empty() || !io::exists(images.front())) return;
  if (io::status_of(images.front()).kind != io::FileKind::block_device) return;
  throw io::Error::refusal(path_, fmt::format("the image {} is a disk and the target a file that "
                                              "exists: the other way round?",
                                              images.front()));
}

// Two that write one file would both find what they wrote, and the file would be neither's.
void BurnTarget::lock_file() {
  // The kernel lets go of a killed io_uring job's files only some time after it is gone.
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (::flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (io::means_no_locks(errno)) break;
    if (errno != EWOULDBLOCK && errno != EINTR) throw io::Error::system("lock", path_, errno);
    if (std::chrono::steady_clock::now() >= deadline) {
      throw io::Error::refusal(path_, "another imgtool is writing it");
    }
    std::this_thread::sleep_for(retry_pause);
  }
  if (!io::lock_image(file_, io::ImageUse::writing)) note_no_locks(path_);
}

// The device is held open now: what has its number at this moment is what will be written.
void BurnTarget::check_serial(const io::SystemRoots& roots) {
  if (options_.expected_serials.empty()) return;
  if (device_) {
    const io::DeviceInventory now(roots);
    const io::BlockDevice* opened = now.find(checked_.identity.device);
    if (opened == nullptr) throw io::Error::refusal(path_, "vanished while it was opened");
    device_ = *opened;
  }
  const auto& expected = options_.expected_serials;
  const bool found =
      device_ && std::any_of(expected.begin(), expected.end(), [this](const std::string& serial) {
        return device_->has_serial(serial);
      });
  if (found) return;
  const std::string actual =
      device_ && !device_->serial.empty() ? "has serial " + device_->serial : "has no serial";
  throw io::Error::refusal(path_, fmt::format("{}, not {}", actual, fmt::join(expected, " or ")));
}

void BurnTarget::check_size() const {
  const auto least = options_.least_size ? options_.least_size : options_.image_size;
  if (!least || *least <= capacity_) return;
  const char* what = least == options_.image_size ? "the image has" : "the image's partitions need";
  throw io::Error::refusal(path_, fmt::format("is too small: {} {} bytes ({}), this disk {} ({}); "
                                              "{} bytes are missing",
                                              what, *least, human_size(*least), capacity_,
                                              human_size(capacity_), *least - capacity_));
}

std::uint64_t BurnTarget::disk_size(std::uint64_t content_size) const {
  return device_ ? capacity_ : std::max(size_before_, content_size);
}

std::optional<std::uint64_t> BurnTarget::sector_size() const {
  if (!device_) return std::nullopt;
  return device_->logical_sector_bytes;
}

std::string BurnTarget::description() const {
  if (!device_) return fmt::format("{} ({})", path_, output_ ? "a new file" : "a file");
  const auto or_unknown = [](const std::string& text, const char* what) {
    return text.empty() ? fmt::format("no {}", what) : text;
  };
  std::string text =
      fmt::format("{} ({}, serial {}, {}", path_, or_unknown(device_->model, "model"),
                  device_->serial.empty() ? "unknown" : device_->serial, human_size(capacity_));
  if (!device_->transport.empty()) text += ", " + device_->transport;
  if (device_->removable) text += ", removable";
  return text + ")";
}

DiskSurvey BurnTarget::survey_content(io::Ring& ring) {
  io::FileSource source(ring, file(), capacity_, false);
  return survey(ring, source, false);
}

std::string BurnTarget::identity_text() {
  return device_ ? disk_identity(*device_) : kept_file_identity(path_, file());
}

io::ZeroMethod BurnTarget::first_zero_method() const {
  if (options_.discard == Discard::never) return io::ZeroMethod::zero_range;
  // A loop device stalls the writes behind it while it punches its file: for a half-sparse image
  // of 2 GiB on ext4, 7.6 s against 4.2 s (medians of five, interleaved). A file that is sparse
  // already is to stay so: there most zeros are holes before and after.
  const bool loop = device_ && device_->kind == io::DeviceKind::loop;
  if (options_.discard == Discard::automatic && loop && is_allocated(*device_)) {
    return io::ZeroMethod::zero_range;
  }
  return io::ZeroMethod::punch_hole;
}

void BurnTarget::discard_all() {
  std::array<std::uint64_t, 2> all = {0, capacity_};
  if (ioctl(file().fd(), BLKDISCARD, all.data()) != 0) {
    throw io::Error::system("discard", path_, errno, io::ByteRange{0, capacity_});
  }
}

std::unique_ptr<BurnMedium> BurnTarget::start(io::Ring& ring) {
  MediumOptions options{capacity_, options_.image_size, {}};
  options.writing.direct = options_.direct != Direct::off;
  options.writing.first_zero_method = first_zero_method();
  options.writing.starts_as_zeros =
      options_.starts_as_zeros || (output_ != nullptr && !options_.resume);
  const auto refuse_cached = [this](bool direct) {
    if (options_.direct != Direct::on || direct) return;
    throw io::Error(io::ErrorKind::unsupported, path_, "cannot do direct I/O; try --direct=auto");
  };
  if (device_) {
    if (options_.discard == Discard::always && !options_.resume) discard_all();
    auto medium = std::make_unique<DeviceMedium>(ring, file(), options);
    refuse_cached(medium->writes_direct());
    return medium;
  }
  if (options_.image_size && file().size() < *options_.image_size) {
    file().truncate(*options_.image_size);
  }
  auto medium = std::make_unique<FileMedium>(ring, file(), output_.get(), size_before_, options);
  refuse_cached(medium->writes_direct());
  return medium;
}

void BurnTarget::keep_for_resume() {
  if (output_) output_->keep_partial();
}

}  // namespace imgtool

#include "imgtool/guest/appliance.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <random>
#include <sstream>
#include <string_view>

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "imgtool/guest/child_processes.hpp"
#include "imgtool/guest/guestfs_library.hpp"
#include "imgtool/guest/trouble.hpp"
#include "io/file.hpp"

namespace imgtool::guest {
namespace {

constexpr const char* key_path = "/tmp/key";
constexpr std::string_view no_room = "space allocation";
constexpr std::size_t most_console = std::size_t{64} * 1024;
constexpr auto watch_interval = std::chrono::milliseconds(50);

// What guards against a processor's speculation, or costs much where vector registers are emulated:
// a tenth of the boot.
constexpr const char* emulated_kernel =
    "mitigations=off init_on_alloc=0 noxsave apparmor=0 audit=0";

// Two make the boot a fifth shorter, which is most of the work; more add nothing.
constexpr unsigned most_processors = 2;

// What libguestfs or the machine says, and what helps. The first that fits.
struct Hint {
  std::string_view sign;
  std::string_view advice;
};
constexpr auto hints = std::to_array<Hint>({
    {"cannot find any suitable libguestfs",
     "there is no appliance: install libguestfs (Debian: apt-get install libguestfs0 supermin), or "
     "name one with --fixed-appliance"},
    {"failed to find a suitable kernel",
     "there is no kernel for it: install one (Debian: apt-get install linux-image-cloud-amd64), or "
     "name an appliance with --fixed-appliance"},
    {"/boot/vmlinuz",
     "the kernel in /boot cannot be read: run as root, or chmod a+r /boot/vmlinuz-*"},
    {"supermin exited with error",
     "it could not be put together, most often because there is no kernel in /boot that may be "
     "read "
     "(Debian: apt-get install linux-image-cloud-amd64; Ubuntu: chmod a+r /boot/vmlinuz-*), or "
     "because there is no network on first use: see --fixed-appliance"},
    {"qemu-system", "QEMU is missing or broken (Debian: apt-get install qemu-system-x86)"},
    {"qemu-img", "qemu-img is missing (Debian: apt-get install qemu-utils)"},
});

std::string advice_for(std::string_view text) {
  for (const Hint& hint : hints) {
    if (text.find(hint.sign) != std::string_view::npos) return std::string(hint.advice);
  }
  return "`libguestfs-test-tool` tells more";
}

// A KVM that hangs is as good as none. One that works has booted in a tenth of this, and has never
// been silent for so long.
constexpr auto kvm_patience = std::chrono::seconds(30);
bool kvm_is_broken = false;  // known since the first launch of this process

bool must_be_emulated() {
  const char* settings = std::getenv("LIBGUESTFS_BACKEND_SETTINGS");
  return settings != nullptr && std::string_view(settings).find("force_tcg") != std::string::npos;
}

// "critical space allocation error, dev sdb, sector 9 op 0x1:(WRITE) flags ...". A program that
// does not flush would never hear of it. "" when it says no such thing.
std::string find_lost_write(std::string_view console) {
  constexpr std::string_view failure = " error, dev sd";
  for (auto place = console.find(failure); place != std::string_view::npos;
       place = console.find(failure, place + 1)) {
    const auto begin = console.rfind('\n', place) + 1;  // npos + 1 is 0
    const std::string_view line = console.substr(begin, console.find('\n', place) - begin);
    const bool lost = line.find(no_room) != std::string_view::npos ||
                      line.find("(WRITE)") != std::string_view::npos;
    if (lost) return std::string(line.substr(0, line.find_last_not_of("\r\n") + 1));
  }
  return "";
}

// "sh: 1: mkfs.xfs: not found", "timeout: failed to run command 'e2fsck': No such file ...".
io::Error missing_program(std::string_view complaint) {
  struct Home {
    std::string_view program, package;
  };
  constexpr auto homes = std::to_array<Home>({{"xfs", "libguestfs-xfs"},
                                              {"ntfs", "ntfs-3g"},
                                              {"btrfs", "btrfs-progs"},
                                              {"cryptsetup", "cryptsetup-bin"},
                                              {"lvm", "lvm2"},
                                              {"2fs", "e2fsprogs"}});
  const std::string said(complaint.substr(0, complaint.find('\n')));
  for (const Home& home : homes) {
    if (said.find(home.program) == std::string::npos) continue;
    return trouble(
        fmt::format("a program is missing in it ({}); install {} (Debian: apt-get "
                    "install {}), with which it is built anew",
                    said, home.package, home.package));
  }
  return trouble(fmt::format("a program is missing in it ({})", said));
}

std::string random_mark() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

void Appliance::Close::operator()(guestfs_h* handle) const noexcept { guestfs().close(handle); }

Appliance::Appliance(const std::vector<Drive>& drives, ApplianceOptions options,
                     const io::StopFlag& stop)
    : options_(std::move(options)), stop_(stop), mark_(random_mark()) {
  watcher_ = std::jthread([this](const std::stop_token& end) { watch(end); });
  if (kvm_is_broken || must_be_emulated() || ::access("/dev/kvm", R_OK | W_OK) != 0) {
    launch(drives, Accelerator::none);
    return;
  }
  try {
    launch(drives, Accelerator::kvm);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    kvm_is_broken = true;
    note_ =
        "KVM is here and does not work, so the appliance is emulated, which is slower; with "
        "LIBGUESTFS_BACKEND_SETTINGS=force_tcg it is not even tried";
    launch(drives, Accelerator::none);
  }
}

Appliance::~Appliance() {
  if (handle_) kill_machine();
  // Until the handle is closed, the watcher may be needed to end what that waits for.
  handle_.reset();
}

void Appliance::launch(const std::vector<Drive>& drives, Accelerator accelerator) {
  refuse_to_go_on();
  handle_.reset(guestfs().create_flags(0));
  if (!handle_) throw trouble("libguestfs has no memory left");
  guestfs_h* g = handle_.get();
  guestfs().set_error_handler(g, nullptr, nullptr);
  console_.clear();
  guestfs().set_event_callback(g, hear_console, GUESTFS_EVENT_APPLIANCE, 0, this);
  guestfs().set_pgroup(g, 1);  // Ctrl-C is for this process, which ends the machine itself
  guestfs().set_autosync(g, 1);
  // libvirt would have the disks labelled and locked by its daemon, as another user.
  if (!is_set("LIBGUESTFS_BACKEND")) guestfs().set_backend(g, "direct");
  if (accelerator == Accelerator::none) guestfs().set_backend_setting(g, "force_tcg", "1");
  if (accelerator == Accelerator::none && !is_set("LIBGUESTFS_APPEND")) {
    guestfs().set_append(g, emulated_kernel);
  }
  if (options_.least_memory_mib > guestfs().get_memsize(g)) {
    guestfs().set_memsize(g, options_.least_memory_mib);
  }
  // Else QEMU stops the machine when there is no room left, and waits until there is some.
  guestfs().config(g, "-global", "scsi-hd.werror=report");
  if (options_.fixed) guestfs().set_path(g, options_.fixed->c_str());
  guestfs().set_tmpdir(g, options_.temporary_folder.c_str());
  const auto processors = std::clamp(std::thread::hardware_concurrency(), 1U, most_processors);
  guestfs().set_smp(g, static_cast<int>(processors));
  for (const Drive& drive : drives) add(drive);
  patience_is_limited_.store(accelerator == Accelerator::kvm);
  const bool launched = guestfs().launch(g) == 0;
  patience_is_limited_.store(false);
  if (!launched) fail("launching it");
  find_devices(drives.size());
}

// Drives have the SCSI targets 0, 1, 2 ... in the order in which they were added.
void Appliance::find_devices(std::size_t count) {
  const std::string text =
      must("looking for its disks",
           "udevadm settle; set -- /sys/block/sd*; echo \"$@\"; readlink -f /sys/block/sd*/device");
  std::istringstream lines(text);
  std::string line, name;
  std::getline(lines, line);
  std::istringstream names(line);
  std::map<std::array<unsigned, 4>, std::string> by_place;
  while (names >> name && std::getline(lines, line)) {
    std::array<unsigned, 4> place{};  // ".../2:0:1:0": host, channel, target, unit
    const std::string address = line.substr(line.rfind('/') + 1);
    if (std::sscanf(address.c_str(), "%u:%u:%u:%u", &place[0], &place[1], &place[2], &place[3]) !=
        4) {
      continue;
    }
    by_place.emplace(place, "/dev/" + name.substr(name.rfind('/') + 1));
  }
  devices_.clear();
  for (auto& [place, device] : by_place) devices_.push_back(device);
  if (devices_.size() < count) throw trouble("its disks are missing");
}

void Appliance::add(const Drive& drive) {
  struct guestfs_add_drive_opts_argv options {};
  options.bitmask = GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK |
                    GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK |
                    GUESTFS_ADD_DRIVE_OPTS_BLOCKSIZE_BITMASK;
  options.format = drive.format.c_str();
  options.readonly = drive.read_only ? 1 : 0;
  options.blocksize = static_cast<int>(drive.sector_size);
  if (!drive.read_only) {
    // It is thrown away after a crash, so no flush is worth waiting for.
    options.bitmask |=
        GUESTFS_ADD_DRIVE_OPTS_CACHEMODE_BITMASK | GUESTFS_ADD_DRIVE_OPTS_DISCARD_BITMASK;
    options.cachemode = "unsafe";
    options.discard = "besteffort";
  }
  if (guestfs().add_drive_opts_argv(handle_.get(), drive.path.c_str(), &options) != 0) {
    fail("giving it " + drive.path);
  }
}

// Called while libguestfs waits for the machine.
void Appliance::hear_console(guestfs_h* /*g*/, void* opaque, std::uint64_t /*event*/,
                             int /*handle*/, int /*flags*/, const char* text, std::size_t length,
                             const std::uint64_t* /*array*/, std::size_t /*array_length*/) {
  auto& self = *static_cast<Appliance*>(opaque);
  self.words_.fetch_add(1);
  self.console_.append(text, length);
  if (self.console_.size() > most_console) self.console_.erase(0, most_console / 2);
  if (!self.lost_write_.empty()) return;
  self.lost_write_ = find_lost_write(self.console_);
  if (!self.lost_write_.empty()) kill_children();  // some file systems would try for ever
}

void Appliance::watch(const std::stop_token& end) noexcept {
  Clock::time_point silent_since = Clock::now();
  std::uint64_t words = 0;
  while (!end.stop_requested()) {
    if (stop_.load() != 0) kill_children();
    if (!patience_is_limited_.load()) {
      silent_since = Clock::now();
    } else if (words_.load() != words || child_runs("supermin")) {
      // The appliance may have to be put together first, which takes as long as it takes.
      words = words_.load();
      silent_since = Clock::now();
    } else if (Clock::now() - silent_since > kvm_patience) {
      kill_children();
    }
    std::this_thread::sleep_for(watch_interval);
  }
}

void Appliance::kill_machine() noexcept {
  const int pid = guestfs().get_pid(handle_.get());
  if (pid > 0) ::kill(pid, SIGKILL);
}

void Appliance::refuse_to_go_on() const {
  io::throw_if_stopped(stop_, "the appliance");
  if (lost_write_.empty()) return;
  if (lost_write_.find(no_room) == std::string::npos) {
    throw trouble("what it wrote was lost: " + lost_write_);
  }
  throw io::Error(io::ErrorKind::system, options_.temporary_folder,
                  "is full, so the appliance could not go on; --work-dir names another place");
}

void Appliance::fail(const std::string& doing) {
  refuse_to_go_on();
  const char* said = guestfs().last_error(handle_.get());
  const std::string why = said != nullptr ? said : "no reason given";
  std::string text = fmt::format("{}: {}", doing, why);
  if (doing.starts_with("launching")) text += "; " + advice_for(why + console_);
  throw trouble(std::move(text));
}

CommandResult Appliance::run(const std::string& command) {
  refuse_to_go_on();
  // One text comes back: how standard output begins, a mark that nothing in an image can know of,
  // the code, and how standard error ends. Each further program would cost a noticeable time in an
  // emulated machine.
  const std::string line = fmt::format(
      "( {0}\n) </dev/null >/tmp/out 2>/tmp/err; code=$?; "
      "if test -s /tmp/out; then head -c {2} /tmp/out; fi; echo {1} $code; "
      "if test -s /tmp/err; then tail -c {2} /tmp/err; fi",
      command, mark_, most_output);
  std::string word = line;
  std::array<char*, 2> arguments = {word.data(), nullptr};
  const std::unique_ptr<char, decltype(&std::free)> answer(
      guestfs().debug(handle_.get(), "sh", arguments.data()), &std::free);
  if (!answer) fail("running " + command.substr(0, command.find(' ')));
  const std::string_view text = answer.get();
  const auto place = text.find(mark_);
  if (place == std::string_view::npos) throw trouble("its answers cannot be understood");
  CommandResult result;
  result.out = text.substr(0, place);
  std::string_view rest = text.substr(place + mark_.size() + 1);
  std::from_chars(rest.data(), rest.data() + rest.size(), result.code);
  rest.remove_prefix(std::min(rest.find('\n'), rest.size() - 1) + 1);
  result.err = rest;
  if (result.code == program_not_found) throw missing_program(result.err);
  return result;
}

bool Appliance::unlock(const std::string& device, const std::string& key, const std::string& name) {
  refuse_to_go_on();
  // It goes there as a file that is never on a disk of the host, so no log shows it.
  const io::FileDescriptor memory(::memfd_create("key", MFD_CLOEXEC));
  if (!memory ||
      ::write(memory.get(), key.data(), key.size()) != static_cast<ssize_t>(key.size()) ||
      guestfs().debug_upload(handle_.get(), fmt::format("/proc/self/fd/{}", memory.get()).c_str(),
                             key_path, 0600) != 0) {
    fail("giving it the key");
  }
  const CommandResult opened =
      run(fmt::format("cryptsetup open --allow-discards --key-file {} {} {}; code=$?; rm -f {}; "
                      "udevadm settle; exit $code",
                      key_path, shell_word(device), shell_word(name), key_path));
  constexpr int no_permission = 2;  // no key slot opens with it
  if (opened.code != 0 && opened.code != no_permission) {
    throw trouble(fmt::format("unlocking {}: {}", device, opened.complaint()));
  }
  return opened.code == 0;
}

void Appliance::shutdown() {
  refuse_to_go_on();
  if (guestfs().shutdown(handle_.get()) != 0) fail("shutting it down");
  refuse_to_go_on();
  handle_.reset();
}

}  // namespace imgtool::guest

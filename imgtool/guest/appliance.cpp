#include "imgtool/guest/appliance.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <ranges>
#include <string_view>

#include <fmt/format.h>
#include <guestfs.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "imgtool/guest/trouble.hpp"
#include "io/file.hpp"

namespace imgtool::guest {
namespace {

constexpr const char* key_path = "/tmp/key";
constexpr std::size_t most_console = std::size_t{64} * 1024;
constexpr auto watch_interval = std::chrono::milliseconds(50);

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

pid_t parent_of(const std::filesystem::path& process) {
  std::ifstream file(process / "stat");
  std::string text;
  std::getline(file, text);
  // "812 (a name) S 811 ...", and the name may hold anything.
  const auto close = text.rfind(") ");
  if (close == std::string::npos || close + 4 >= text.size()) return 0;
  pid_t parent = 0;
  std::from_chars(text.data() + close + 4, text.data() + text.size(), parent);
  return parent;
}

// All children of this process are libguestfs's: it starts no others.
void kill_children() noexcept {
  try {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
      const std::string name = entry.path().filename();
      pid_t pid = 0;
      const auto end = std::from_chars(name.data(), name.data() + name.size(), pid);
      if (end.ptr != name.data() + name.size() || end.ec != std::errc()) continue;
      if (parent_of(entry.path()) == ::getpid()) ::kill(pid, SIGKILL);
    }
  } catch (const std::exception&) {
    return;  // a process that ended just now; the next round sees the others
  }
}

void keep_console(guestfs_h* /*g*/, void* opaque, std::uint64_t /*event*/, int /*handle*/,
                  int /*flags*/, const char* text, std::size_t length,
                  const std::uint64_t* /*array*/, std::size_t /*array_length*/) {
  auto& console = *static_cast<std::string*>(opaque);
  console.append(text, length);
  if (console.size() > most_console) console.erase(0, console.size() - most_console / 2);
}

// A KVM that hangs is as good as none. One that works has booted in a tenth of this.
constexpr auto kvm_patience = std::chrono::seconds(30);
bool kvm_is_broken = false;  // known since the first launch of this process

bool must_be_emulated() {
  const char* settings = std::getenv("LIBGUESTFS_BACKEND_SETTINGS");
  return settings != nullptr && std::string_view(settings).find("force_tcg") != std::string::npos;
}

bool is_set(const char* variable) {
  const char* value = std::getenv(variable);
  return value != nullptr && *value != '\0';
}

}  // namespace

void Appliance::Close::operator()(guestfs_h* handle) const noexcept { guestfs_close(handle); }

Appliance::Appliance(const std::vector<Drive>& drives, ApplianceOptions options,
                     const io::StopFlag& stop)
    : options_(std::move(options)), stop_(stop) {
  watcher_ = std::jthread([this](const std::stop_token& end) { watch(end); });
  if (kvm_is_broken || must_be_emulated() || ::access("/dev/kvm", R_OK | W_OK) != 0) {
    launch(drives, kvm_is_broken);
    return;
  }
  try {
    patience_ends_.store((Clock::now() + kvm_patience).time_since_epoch().count());
    launch(drives, false);
    patience_ends_.store(0);
  } catch (const io::Error& error) {
    patience_ends_.store(0);
    if (error.kind() == io::ErrorKind::cancelled) throw;
    kvm_is_broken = true;
    note_ =
        "KVM is here and does not work, so the appliance is emulated, which is slower; with "
        "LIBGUESTFS_BACKEND_SETTINGS=force_tcg it is not even tried";
    launch(drives, true);
  }
}

Appliance::~Appliance() {
  if (handle_) kill_machine();
  // Until the handle is closed, the watcher may be needed to end what that waits for.
  handle_.reset();
}

void Appliance::launch(const std::vector<Drive>& drives, bool force_emulation) {
  refuse_if_stopped();
  handle_.reset(guestfs_create_flags(0));
  if (!handle_) throw trouble("libguestfs has no memory left");
  guestfs_h* g = handle_.get();
  guestfs_set_error_handler(g, nullptr, nullptr);
  console_.clear();
  guestfs_set_event_callback(g, keep_console, GUESTFS_EVENT_APPLIANCE, 0, &console_);
  guestfs_set_pgroup(g, 1);  // Ctrl-C is for this process, which ends the machine itself
  guestfs_set_autosync(g, 1);
  // libvirt would have the disks labelled and locked by its daemon, as another user.
  if (!is_set("LIBGUESTFS_BACKEND")) guestfs_set_backend(g, "direct");
  if (force_emulation) guestfs_set_backend_setting(g, "force_tcg", "1");
  if (options_.fixed) guestfs_set_path(g, options_.fixed->c_str());
  guestfs_set_tmpdir(g, options_.temporary_folder.c_str());
  for (const Drive& drive : drives) add(drive);
  if (guestfs_launch(g) != 0) fail("launching it");
  find_devices(drives.size());
}

// Drives have the SCSI targets 0, 1, 2 ... in the order in which they were added.
void Appliance::find_devices(std::size_t count) {
  const std::string text =
      must("looking for its disks",
           "udevadm settle; for d in /sys/block/sd*; do "
           "echo \"$(basename $(readlink -f $d/device)):/dev/${d##*/}\"; done | "
           "sort -t : -k 1,1n -k 2,2n -k 3,3n -k 4,4n | cut -d : -f 5");
  devices_.clear();
  for (const auto line : std::views::split(std::string_view(text), '\n')) {
    if (devices_.size() < count) devices_.emplace_back(line.begin(), line.end());
  }
  if (devices_.size() < count || devices_.back().empty()) throw trouble("its disks are missing");
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
  if (guestfs_add_drive_opts_argv(handle_.get(), drive.path.c_str(), &options) != 0) {
    fail("giving it " + drive.path);
  }
}

void Appliance::watch(const std::stop_token& end) noexcept {
  while (!end.stop_requested()) {
    const auto patience = patience_ends_.load();
    const bool late = patience != 0 && Clock::now().time_since_epoch().count() > patience;
    if (late || stop_.load() != 0) kill_children();
    std::this_thread::sleep_for(watch_interval);
  }
}

void Appliance::kill_machine() noexcept {
  const int pid = guestfs_get_pid(handle_.get());
  if (pid > 0) ::kill(pid, SIGKILL);
}

void Appliance::refuse_if_stopped() const {
  if (stop_.load() == 0) return;
  throw io::Error(io::ErrorKind::cancelled, "the appliance", "stopped");
}

void Appliance::fail(const std::string& doing) {
  refuse_if_stopped();
  const char* said = guestfs_last_error(handle_.get());
  const std::string why = said != nullptr ? said : "no reason given";
  std::string text = fmt::format("{}: {}", doing, why);
  if (doing.starts_with("launching")) text += "; " + advice_for(why + console_);
  throw trouble(std::move(text));
}

CommandResult Appliance::run(const std::string& command) {
  refuse_if_stopped();
  // One text comes back, so the parts are counted. Newlines at its end may be lost on the way.
  const std::string line = fmt::format(
      "( {}\n) </dev/null >/tmp/out 2>/tmp/err; echo $? $(wc -c </tmp/out); "
      "cat /tmp/out /tmp/err",
      command);
  std::string word = line;
  std::array<char*, 2> arguments = {word.data(), nullptr};
  const std::unique_ptr<char, decltype(&std::free)> answer(
      guestfs_debug(handle_.get(), "sh", arguments.data()), &std::free);
  if (!answer) fail("running " + command.substr(0, command.find(' ')));
  const std::string_view text = answer.get();
  CommandResult result;
  std::size_t length = 0;
  const auto code = std::from_chars(text.data(), text.data() + text.size(), result.code);
  const auto line_end = std::min(text.find('\n'), text.size());
  std::from_chars(std::min(code.ptr + 1, text.data() + line_end), text.data() + line_end, length);
  const std::string_view body = text.substr(std::min(line_end + 1, text.size()));
  result.out = body.substr(0, length);
  result.err = body.substr(std::min(length, body.size()));
  return result;
}

bool Appliance::unlock(const std::string& device, const std::string& key, const std::string& name) {
  refuse_if_stopped();
  // It goes there as a file that is never on a disk of the host, so no log shows it.
  const io::FileDescriptor memory(::memfd_create("key", MFD_CLOEXEC));
  if (!memory ||
      ::write(memory.get(), key.data(), key.size()) != static_cast<ssize_t>(key.size()) ||
      guestfs_debug_upload(handle_.get(), fmt::format("/proc/self/fd/{}", memory.get()).c_str(),
                           key_path, 0600) != 0) {
    fail("giving it the key");
  }
  const CommandResult opened =
      run(fmt::format("cryptsetup open --allow-discards --key-file {} {} {}; code=$?; rm -f {}; "
                      "udevadm settle; exit $code",
                      key_path, sh_word(device), sh_word(name), key_path));
  constexpr int no_permission = 2;  // no key slot opens with it
  if (opened.code != 0 && opened.code != no_permission) {
    throw trouble(fmt::format("unlocking {}: {}", device, opened.complaint()));
  }
  return opened.code == 0;
}

bool Appliance::has(const std::string& group) {
  refuse_if_stopped();
  std::string name = group;
  std::array<char*, 2> groups = {name.data(), nullptr};
  const int answer = guestfs_feature_available(handle_.get(), groups.data());
  if (answer < 0) fail("asking it for " + group);
  return answer > 0;
}

void Appliance::shutdown() {
  refuse_if_stopped();
  if (guestfs_shutdown(handle_.get()) != 0) fail("shutting it down");
  handle_.reset();
}

}  // namespace imgtool::guest

// The appliance: a small virtual machine, made by libguestfs out of this system's own kernel and
// programs, in which the file systems of an image are worked on. What is in the image can harm
// nothing but that machine. This is the only user of libguestfs.
//
// One appliance is launched once and shut down once. For one thread; a thread of its own watches
// the stop flag, ends the machine within a second of Ctrl-C, and every call then throws
// ErrorKind::cancelled. When this process is killed, the machine ends by itself.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "imgtool/guest/shell.hpp"
#include "io/observer.hpp"

struct guestfs_h;

namespace imgtool::guest {

// A disk of the appliance; see device_of().
struct Drive {
  std::string path;
  std::string format;  // "raw", "qcow2"
  bool read_only = false;
  std::uint64_t sector_size = 512;
};

struct ApplianceOptions {
  std::optional<std::string> fixed;  // a folder with a ready-made appliance
  std::string temporary_folder;      // for libguestfs's own files
  int least_memory_mib = 0;
};

class Appliance final : public Shell {
 public:
  // Launches it: with KVM where that works, else without. Throws io::Error that names what has to
  // be installed. `stop` outlives it.
  Appliance(const std::vector<Drive>& drives, ApplianceOptions options, const io::StopFlag& stop);
  Appliance(const Appliance&) = delete;
  Appliance& operator=(const Appliance&) = delete;
  // Without shutdown() the machine is killed, and what it wrote is worth nothing.
  ~Appliance() override;

  // Throws also when a program is not there, with the package that has it.
  CommandResult run(const std::string& command) override;

  // Unlocks LUKS as /dev/mapper/`name`. False: the key is a wrong one.
  [[nodiscard]] bool unlock(const std::string& device, const std::string& key,
                            const std::string& name);

  // Where commands find the drive of this number. Kernels name disks in the order in which they
  // come up, which is another one every time.
  [[nodiscard]] const std::string& device_of(std::size_t drive) const { return devices_.at(drive); }

  // KVM failed, and why; else "".
  [[nodiscard]] const std::string& note() const noexcept { return note_; }

  // Unmounts, writes everything out, ends the machine. Throws when any of it failed.
  void shutdown();

 private:
  struct Close {
    void operator()(guestfs_h* handle) const noexcept;
  };
  enum class Accelerator : std::uint8_t { kvm, none };
  using Clock = std::chrono::steady_clock;
  using Handle = std::unique_ptr<guestfs_h, Close>;

  static void hear_console(guestfs_h* g, void* opaque, std::uint64_t event, int handle, int flags,
                           const char* text, std::size_t length, const std::uint64_t* array,
                           std::size_t array_length);

  void launch(const std::vector<Drive>& drives, Accelerator accelerator);
  void add(const Drive& drive);
  void find_devices(std::size_t count);
  void kill_machine() noexcept;
  void watch(const std::stop_token& end) noexcept;
  [[noreturn]] void fail(const std::string& doing);
  // Throws where there is nothing to go on with: it was stopped, or it lost what it wrote.
  void refuse_to_go_on() const;

  const ApplianceOptions options_;
  const io::StopFlag& stop_;
  const std::string mark_;  // see run()
  Handle handle_;
  std::string note_;
  std::vector<std::string> devices_;
  std::string console_;                  // the end of what the machine said
  std::string lost_write_;               // what its kernel said of a write that failed; else ""
  std::atomic<std::uint64_t> words_{0};  // how often it said something
  // Whether KVM is given up when the machine says nothing for a while.
  std::atomic<bool> patience_is_limited_{false};
  std::jthread watcher_;  // ends first
};

}  // namespace imgtool::guest

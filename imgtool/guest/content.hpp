// What can be done with one kind of content: measured, made smaller, trimmed, checked. Each kind
// has a file of its own; content_of() finds it.
//
// All of it runs in the appliance, on a copy that is thrown away when anything fails. Errors:
// io::Error, ErrorKind::refused for what the user has to settle first.
#pragma once

#include <functional>
#include <string_view>

#include "formats/disks/filesystems/swap.hpp"
#include "imgtool/guest/shell.hpp"
#include "imgtool/guest/shrink_options.hpp"
#include "imgtool/guest/volume_plan.hpp"
#include "io/error.hpp"

namespace imgtool::guest {

class Appliance;

// What the kinds need to know beside the volume.
struct ApplianceContext {
  Shell& shell;
  const ShrinkOptions& options;
  // Called with "shrinking partition 2 (ext4)", before it begins.
  std::function<void(const std::string&)> step;
  // Unlocks LUKS; null where there is no appliance (tests).
  Appliance* appliance = nullptr;
  // Whether the journal of this volume has to be replayed; null: of none.
  std::function<bool(const formats::VolumeId&)> needs_replay{};
  // A disk for what is made anew; empty: there is none.
  std::string scratch_device{};
  // In the appliance, for lists of files that are compared.
  std::string list_folder = "/tmp";
  // Pieces of the disk that the user wants as they are.
  std::vector<const VolumePlan*> kept{};
};

struct Content {
  std::string_view types;  // as blkid spells them, between spaces: " ext2 ext3 ext4 "

  // Finds out what is used, the minimum, and the size to be; sets the action. Changes nothing but
  // what is needed to look inside.
  void (*measure)(ApplianceContext&, VolumePlan&);
  // Does it. new_size afterwards is what it really is. Null: never done.
  void (*change)(ApplianceContext&, VolumePlan&);
  // Gives what is free back to the disk. Null: cannot be done.
  void (*trim)(ApplianceContext&, const VolumePlan&);
  // Throws when a checker that only reads finds anything. Null: there is none.
  void (*check)(ApplianceContext&, const VolumePlan&);
  // Makes what lies inside appear, as measure() did, in an appliance that was launched later. Null:
  // nothing lies inside.
  void (*open)(ApplianceContext&, const VolumePlan&) = nullptr;
  // All devices that the file system or volume group lies on. Null: on the volume's own.
  std::vector<std::string> (*devices)(ApplianceContext&, const VolumePlan&) = nullptr;
};

extern const Content ext_content;
extern const Content ntfs_content;
extern const Content btrfs_content;
extern const Content xfs_content;
extern const Content fat_content;
extern const Content swap_content;
extern const Content luks_content;
extern const Content lvm_content;

// Null: nothing is known about this type.
[[nodiscard]] const Content* content_of(std::string_view type);

// Looks at one volume, then into it: everything below runs through here.
void measure(ApplianceContext& context, VolumePlan& volume);
void change(ApplianceContext& context, VolumePlan& volume);
void trim(ApplianceContext& context, const VolumePlan& volume);
void check(ApplianceContext& context, const VolumePlan& volume);
// Before check() in another appliance than the one that measured.
void reopen(ApplianceContext& context, const VolumePlan& volume);

using formats::filesystems::hibernated_type;

// "partition 2 (ext4)".
[[nodiscard]] std::string title(const VolumePlan& volume);

// ErrorKind::refused: `because`, with the way on, which always can be to keep the partition.
[[nodiscard]] io::Error refusal_of(const VolumePlan& volume, const std::string& because,
                                   const std::string& remedy);

// The volume was not unmounted, and now is as its own system would have found it.
void note_replay(VolumePlan& volume);

// Above `minimum`, as the options say, or else `share_percent` of it, at least `least`.
[[nodiscard]] std::uint64_t slack_above(std::uint64_t minimum, const ShrinkOptions& options,
                                        std::uint64_t least, unsigned share_percent);

// Decides for `target` bytes, in whole MiB, or to keep it where that saves nothing.
void aim_for(VolumePlan& volume, std::uint64_t target);

// Fills type, label and uuid by what blkid sees on the volume's device.
void identify(Shell& shell, VolumePlan& volume);

// Bytes, in the same order.
[[nodiscard]] std::vector<std::uint64_t> sizes_of_devices(Shell& shell,
                                                          const std::vector<std::string>& devices);

// Mounted while it lives, on /sysroot.
class Mount {
 public:
  Mount(Shell& shell, const std::string& device, std::string_view options);
  Mount(const Mount&) = delete;
  Mount& operator=(const Mount&) = delete;
  ~Mount();
  // Throws when that fails.
  void unmount();

 private:
  Shell& shell_;
  bool mounted_ = true;
};
void trim_mounted(ApplianceContext& context, const VolumePlan& volume);

}  // namespace imgtool::guest

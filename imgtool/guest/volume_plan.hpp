// One line of the plan: a piece of the disk, what lies in it, and what becomes of that. A
// partition, what a key unlocks, a logical volume; one lies in the other.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/volume.hpp"

namespace imgtool::guest {

enum class Action : std::uint8_t {
  keep,         // all bytes as they are
  shrink,       // made smaller where it is
  recreate,     // made anew, smaller, with the same files
  header_only,  // swap: only what its header says comes along
};

struct VolumePlan {
  std::string name;  // for people only; "inside partition 2": escape before printing
  // What the host's own map calls it; nothing for what a key unlocks, which the host cannot see.
  std::optional<formats::VolumeId> id;
  unsigned partition = 0;   // the one it lies in; 0: the whole disk
  std::string device;       // in the appliance
  std::string type;         // as blkid spells it; empty: unknown
  std::string label, uuid;  // raw bytes from the disk: escape before printing
  std::uint64_t size = 0;   // bytes, of the piece of the disk

  // What lies in it; nothing where that is not known.
  std::optional<std::uint64_t> used;
  std::optional<std::uint64_t> minimum;
  // Bytes of all files, those that share blocks counted each; of what can be made anew.
  std::optional<std::uint64_t> files;

  Action action = Action::keep;
  std::uint64_t new_size = 0;  // of the piece
  // It was decided that it stays as large as it is; the texts say why and what helps.
  bool kept = false;
  std::string kept_because;  // a clause
  std::string remedy;
  std::vector<std::string> notes;  // what the user should know, a sentence each

  // The host's own map says what is free in it, so nothing has to be trimmed.
  bool mapped = false;
  // ... and its files were not asked whether they agree: --trust-maps.
  bool map_believed = false;
  bool trim = false;
  // Its journal had to be replayed first, so it is checked although it may keep its size.
  bool replayed = false;
  // All of it comes along as it is: parts of it are not here, not understood, or kept.
  bool left_alone = false;
  bool hashed = false;  // see formats::Volume: nothing in it may be written to

  std::uint64_t head = 0;  // bytes in front of what lies inside
  std::vector<VolumePlan> inside;
  // An LVM volume group's name and the bytes of its extents. In a logical volume: its own name.
  std::string group;
  std::uint64_t extent = 0;

  [[nodiscard]] bool changes() const noexcept { return action != Action::keep; }
  void keep(std::string because, std::string what_to_do = "") {
    action = Action::keep;
    kept = true;
    new_size = size;
    kept_because = std::move(because);
    remedy = std::move(what_to_do);
  }
};

// Calls `f` for the volume and all that lies in it, the innermost first.
template <typename F>
void for_each_volume(VolumePlan& volume, const F& f) {
  for (VolumePlan& inner : volume.inside) for_each_volume(inner, f);
  f(volume);
}
template <typename F>
void for_each_volume(const VolumePlan& volume, const F& f) {
  for (const VolumePlan& inner : volume.inside) for_each_volume(inner, f);
  f(volume);
}

}  // namespace imgtool::guest

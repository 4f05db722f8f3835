// What a file or folder is there for, as far as its path tells: so that people see what nobody
// needs.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace formats {

enum class FileUse : std::uint8_t {
  unknown,
  paging,         // pagefile.sys, swapfile.sys, a swap file
  hibernation,    // hiberfil.sys
  crash_dump,     // memory of what crashed
  package_cache,  // packages and updates that are installed already
  cache,          // what programs make again when they need it
  log,            // logs and journals
  temporary,      // /tmp and the like
  trash,          // deleted by a user, and kept
  update_backup,  // WinSxS\Backup, what an update replaced, an earlier Windows
  restore_point,  // System Volume Information, with Windows' shadow copies
  snapshot,       // snapshots of snapper and timeshift
};
inline constexpr std::size_t count_of_uses = 12;

// For machines: "paging", "package-cache".
[[nodiscard]] std::string_view word_of(FileUse use);

// The use of the folder with these names, from the root on; FileUse::unknown: none that is known,
// or one of the folders below may have one. `windows`: the case of letters does not matter.
[[nodiscard]] FileUse use_of_folder(const std::vector<std::string_view>& names, bool windows);
// Folders deeper than this have the use of the folder that they lie in.
inline constexpr std::size_t deepest_known_folder = 6;

// The use of a file by its name, in a folder of no known use. `in_root`: in the root folder.
[[nodiscard]] FileUse use_of_file(std::string_view name, bool in_root, bool windows);

}  // namespace formats

// Files that are no disk's bytes, and of a kind that imgtool does not read, or not from everywhere:
// taken for raw they would make a disk of garbage. Known by their content: a fixed number of bytes
// at both ends of the file.
//
// Sources: VMware "Virtual Disk Format 5.0", Microsoft [MS-VHDX] and the VHD specification,
// VirtualBox VDICore.h, QEMU docs/interop (qed, parallels), POSIX pax (ustar at 257), PKWARE
// APPNOTE 4.3, and the magic numbers that file(1) knows.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "io/file.hpp"

namespace formats {

struct ForeignKind {
  std::string_view what;    // "a VMware disk image (VMDK)"
  std::string_view remedy;  // "make a raw image of it with qemu-img convert -O raw"
  bool needs_file = false;  // imgtool reads it, but not where it has no file of its own
};

// How much of a file's beginning tells all kinds apart that can be told by it.
inline constexpr std::size_t foreign_probe_bytes = 512;

// By the first bytes, of a file or of what a stream holds. Nothing: no such kind.
[[nodiscard]] std::optional<ForeignKind> recognise_foreign(std::span<const std::byte> start);
// By the last bytes, 512 of them, of something that is `size` bytes long: a fixed VHD, or a DMG.
[[nodiscard]] std::optional<ForeignKind> recognise_by_end(std::span<const std::byte> end,
                                                          std::uint64_t size);
// By the start, and by the end of a regular file too, where VHD has its name.
[[nodiscard]] std::optional<ForeignKind> recognise_foreign(const io::File& file);

// Throws ErrorKind::refused: NAME is WHAT; REMEDY, or say -f raw. `place` is put behind the name's
// kind: " inside gz", " from a pipe".
[[noreturn]] void refuse_foreign(const std::string& name, const ForeignKind& kind,
                                 std::string_view place = "");

}  // namespace formats

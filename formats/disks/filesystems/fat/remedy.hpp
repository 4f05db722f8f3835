// What a user can do about a FAT file system that is kept whole.
#pragma once

namespace formats::filesystems::fat {

inline constexpr const char* remedy_check =
    "check it: chkdsk /f in Windows, or fsck.fat -a where it is not mounted";
inline constexpr const char* remedy_unmount =
    "unmount it or shut its system down; if that was done, check it (chkdsk /f, or fsck.fat -a)";

}  // namespace formats::filesystems::fat

// Why all bytes of a piece of the disk count as used. Programs decide by this value; the text that
// stands beside it is for people, and may be worded anew at any time.
#pragma once

#include <cstdint>
#include <string_view>

namespace formats::filesystems {

enum class Reason : std::uint8_t {
  none,          // nothing is kept whole: what is free is known exactly
  unreadable,    // the source could not be read
  damaged,       // a check failed, or its own kernel found errors
  needs_replay,  // nothing else is wrong than that its journal holds what a mount would bring home
  in_use,        // mounted, or not unmounted by its last user
  hibernated,    // a system that sleeps has it mounted
  hashed,        // hashes cover its blocks, the free ones too (dm-verity, Android Verified Boot)
  encrypted,     // what is free can be told of the unlocked device only
  raid_member,   // a member of a RAID
  cut_off,       // longer than the piece of the disk that it lies in
  ambiguous,     // two things claim the same bytes
  bad_table,     // the partition table that says where it lies cannot be relied on
  unsupported,   // known by its signature, but with features or of a kind without a parser here
  unknown,       // the content is of no known kind
};

// One word for programs: "needs-replay". Empty for Reason::none.
[[nodiscard]] std::string_view word_of(Reason reason);

// Whether the owner can, and has to, put it in order before its content can be relied on. The
// other reasons stay true whatever the owner does to the file system.
[[nodiscard]] bool owner_can_settle(Reason reason);

}  // namespace formats::filesystems

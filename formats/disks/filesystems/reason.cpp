#include "formats/disks/filesystems/reason.hpp"

namespace formats::filesystems {

std::string_view word_of(Reason reason) {
  switch (reason) {
    case Reason::none:
      return "";
    case Reason::unreadable:
      return "unreadable";
    case Reason::damaged:
      return "damaged";
    case Reason::needs_replay:
      return "needs-replay";
    case Reason::in_use:
      return "in-use";
    case Reason::hibernated:
      return "hibernated";
    case Reason::hashed:
      return "hashed";
    case Reason::encrypted:
      return "encrypted";
    case Reason::raid_member:
      return "raid-member";
    case Reason::cut_off:
      return "cut-off";
    case Reason::ambiguous:
      return "ambiguous";
    case Reason::bad_table:
      return "bad-table";
    case Reason::unsupported:
      return "unsupported";
    case Reason::unknown:
      return "unknown";
  }
  return "";
}

bool owner_can_settle(Reason reason) {
  switch (reason) {
    case Reason::damaged:
    case Reason::needs_replay:
    case Reason::in_use:
    case Reason::hibernated:
    case Reason::encrypted:
    case Reason::raid_member:
    case Reason::cut_off:
    case Reason::ambiguous:
      return true;
    case Reason::none:
    case Reason::unreadable:
    case Reason::hashed:
    case Reason::bad_table:
    case Reason::unsupported:
    case Reason::unknown:
      return false;
  }
  return false;
}

}  // namespace formats::filesystems

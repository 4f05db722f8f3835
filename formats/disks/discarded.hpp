// What an operating system throws away when it starts: the content of its paging and swap files,
// and of a hibernation file that holds nothing any more. The files stay, with their sizes and
// places; their content may as well be zeros.
//
//   pagefile.sys, swapfile.sys   of a Windows that was shut down, without a crash dump in it
//   hiberfil.sys                 the same, whose first page is zeros: what Windows leaves behind
//   swap files of Linux          those that /etc/fstab names and the usual ones; their first page
//                                is kept, and all of it where a hibernated system is in it
//
// Only in file systems that are known to be clean (FileSystem::kept_whole() is false, nothing waits
// to be replayed), and never where a file may share its blocks with another one (reflinks). A
// system that sleeps in one of these files needs the others when it wakes up, so then all are kept.
#pragma once

#include <string>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "formats/disks/volume.hpp"

namespace formats {

struct DiscardedFile {
  std::string place;  // name_of() its volume
  VolumeId volume;
  std::string path;                   // in that; raw bytes: escape before printing
  std::vector<io::ByteRange> ranges;  // of the disk, ascending; none where it is kept
  std::string kept_because;           // a clause; empty: its content may go
  bool may_sleep = false;             // a hibernated system may be in it

  [[nodiscard]] std::uint64_t bytes() const;
};

// Of these volumes, which find_free_space() found on `disk`. What cannot be read is kept. Throws
// io::Error with ErrorKind::cancelled.
[[nodiscard]] std::vector<DiscardedFile> find_discarded(DiskView& disk,
                                                        const std::vector<Volume>& volumes);

}  // namespace formats

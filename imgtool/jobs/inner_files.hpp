// The file systems in an image, and the files in them, as a command line names them:
//
//   /etc/fstab          where the image holds one file system
//   2:/etc/fstab        in partition 2; vg/root:/etc/fstab in a logical volume
//   2.1:/etc/fstab      in partition 1 of the disk that lies in partition 2
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/filesystems/files.hpp"
#include "formats/disks/free_space.hpp"
#include "formats/disks/opened_files.hpp"
#include "io/observer.hpp"
#include "io/ring.hpp"

namespace imgtool {

struct InnerPath {
  std::string part;  // empty: none was named
  std::string path;  // empty: none was named; else begins with '/'
};
// Throws UsageError.
[[nodiscard]] InnerPath parse_inner_path(const std::string& word);

// How a volume is named in front of a path: "2", "vg/root", "2.1"; "disk" for one without a table.
[[nodiscard]] std::string part_name(const formats::VolumeId& id);

// A file system that is open. Belongs to the ring's thread.
class InnerFileSystem {
 public:
  // Both outlive it. Throws io::Error.
  InnerFileSystem(formats::DiskView& disk, const formats::Volume& volume) : files_(disk, volume) {}

  [[nodiscard]] formats::filesystems::FileTree& tree() { return files_.tree(); }
  [[nodiscard]] formats::DiskView& view() { return files_.view(); }
  [[nodiscard]] const formats::Volume& volume() const { return files_.volume(); }

  enum class LastLink : std::uint8_t { followed, kept };
  // The file of this path. Links lead to other files of this file system, never to the host's.
  // Throws io::Error.
  [[nodiscard]] formats::filesystems::NodeId find(std::string_view path, LastLink last);
  // What a link says. Throws io::Error.
  [[nodiscard]] std::string link_text(formats::filesystems::NodeId id);

 private:
  formats::OpenedFiles files_;
};

class InnerFiles {
 public:
  // `disk` shows all of an image, and outlives this. Reads tables and superblocks.
  InnerFiles(io::Ring& ring, io::Source& disk, const io::StopFlag& stop);

  // Those whose files can be read, in the order of the disk.
  [[nodiscard]] const std::vector<formats::Volume>& volumes() const { return volumes_; }
  // The one that is meant: the only one where `part` is empty. Throws io::Error that lists them.
  [[nodiscard]] std::unique_ptr<InnerFileSystem> open(const std::string& part);
  [[nodiscard]] std::unique_ptr<InnerFileSystem> open(const formats::Volume& volume);

 private:
  formats::DiskView disk_;
  std::vector<formats::Volume> volumes_;
};

// Says on standard error what the user should know of it, if there is something.
void note_warning(InnerFileSystem& files);

}  // namespace imgtool

// The folders and files of a file system, read without mounting it, from our own parsers.
//
// Everything here was written by somebody else. Numbers are compared with the volume before they
// are used, names may hold any byte, folders may contain each other in circles and a file may say
// that it has 8 EiB: whoever walks a tree bounds it (see file_survey.hpp). Each call either
// answers or throws io::Error with the offset at which the damage lies.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "formats/disks/disk_view.hpp"
#include "io/byte_range.hpp"

namespace formats::filesystems {

enum class NodeKind : std::uint8_t {
  file,
  folder,
  link,
  character_device,
  block_device,
  pipe,
  socket,
  other,
};

// Which file is meant. What the numbers are is the file system's own affair.
struct NodeId {
  std::uint64_t number = 0;
  std::uint64_t tree = 0;  // of btrfs: the subvolume

  friend auto operator<=>(const NodeId&, const NodeId&) = default;
};

struct Node {
  NodeKind kind = NodeKind::other;
  std::uint64_t size = 0;         // bytes
  std::uint64_t stored = 0;       // bytes of the volume that its content takes, without holes
  std::uint32_t permissions = 0;  // the lowest 12 bits of a mode
  std::uint32_t owner = 0;
  std::uint32_t group = 0;
  std::uint32_t links = 1;
  std::int64_t modified = 0;  // seconds since 1970, UTC; 0: not known
  bool may_share = false;     // other files may have the same blocks (reflinks, snapshots)
};

struct Entry {
  std::string_view name;  // any bytes; never empty, "." or ".."
  NodeId id;
};

// False: enough was seen.
using EntryVisitor = std::function<bool(const Entry&)>;

enum class Coding : std::uint8_t { none, zlib, zstd, lzo, lznt1 };

// Some bytes of a file, and where they lie.
struct FilePiece {
  io::ByteRange range;      // of the file
  std::uint64_t place = 0;  // in the volume; of what is coded: where its stream begins
  Coding coding = Coding::none;
  std::uint64_t coded = 0;       // bytes of the stream
  std::uint64_t decoded = 0;     // bytes that come out of it
  std::uint64_t skipped = 0;     // of these, in front of `range`
  std::uint32_t first_part = 0;  // in FileMap::parts, where the stream is in more than one place
  std::uint32_t parts = 0;
};

// The content of a file. What no piece covers reads as zeros.
struct FileMap {
  std::uint64_t size = 0;
  std::vector<FilePiece> pieces;     // ascending, disjoint, inside of `size`
  std::vector<io::ByteRange> parts;  // of the volume
  std::vector<std::byte> in_line;    // its first bytes, where they lie in no block
  Coding in_line_coding = Coding::none;
  std::uint64_t in_line_decoded = 0;  // bytes that come out of what is coded
};

// Pieces that a map may have: 200 MiB of them.
inline constexpr std::size_t most_pieces = std::size_t{2} << 20;

class FileTree {
 public:
  virtual ~FileTree() = default;

  [[nodiscard]] virtual NodeId root() const = 0;
  [[nodiscard]] virtual Node look_at(NodeId id) = 0;
  // Gives the entries of a folder in the order in which they are stored.
  virtual void list(NodeId folder, const EntryVisitor& visit) = 0;
  // Where the content of a file is, or what a link says.
  [[nodiscard]] virtual FileMap map_of(NodeId id) = 0;
  // From now on Node::stored counts what several files share (reflinks, snapshots) only once, for
  // the file that is looked at first; where the file system tells.
  virtual void count_shared_once() {}
  // Whether names that differ in upper and lower case alone are the same.
  [[nodiscard]] virtual bool folds_case() const { return false; }

  // What the user should know although it can be read; mostly empty.
  [[nodiscard]] const std::string& warning() const { return warning_; }

 protected:
  std::string warning_;
};

// The files in `volume`, which outlives the tree. `type` is FileSystem::type. Null: a type whose
// files are not read here. Throws io::Error; what a mount would refuse because it was not unmounted
// is read all the same, with a warning.
[[nodiscard]] std::unique_ptr<FileTree> open_files(DiskView& volume, std::string_view type);
[[nodiscard]] bool can_open_files(std::string_view type);

}  // namespace formats::filesystems

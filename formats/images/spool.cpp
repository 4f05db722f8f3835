#include "formats/images/spool.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "io/byte_range.hpp"
#include "io/error.hpp"
#include "io/unnamed_file.hpp"
#include "io/zero_run.hpp"

namespace formats {
namespace {

constexpr std::size_t piece_bytes = io::MiB;
constexpr std::size_t hole_bytes = 64 * io::KiB;
constexpr const char* way_on = "choose a folder with more room with --spool";

std::string folder_of(const SpoolOptions& options) {
  if (!options.folder.empty()) return options.folder;
  if (!options.beside.empty()) return options.beside;
  const char* const named = std::getenv("TMPDIR");
  return named != nullptr && *named != '\0' ? named : "/var/tmp";
}

void write_piece(const io::File& file, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const auto part = bytes.first(std::min(bytes.size(), hole_bytes));
    if (!io::is_zero(part)) file.write_at(offset, part);
    offset += part.size();
    bytes = bytes.subspan(part.size());
  }
}

}  // namespace

io::File spool(io::ByteStream& stream, std::optional<std::uint64_t> size, const std::string& name,
               const SpoolOptions& options, const io::StopFlag* stop) {
  const SpoolNote note{name, folder_of(options), size, io::room_in(folder_of(options))};
  if (note.size.value_or(0) > note.room) {
    throw io::Error::refusal(
        name, fmt::format("has to be unpacked before it can be read, and takes {} bytes; {} has "
                          "room for {}: {}",
                          *note.size, note.folder, note.room, way_on));
  }
  io::File file(io::make_unnamed_file(note.folder), name);
  if (options.tell) options.tell(note);
  std::vector<std::byte> buffer(piece_bytes);
  std::uint64_t done = 0;
  while (const std::size_t count = io::read_fully(stream, buffer)) {
    if (stop != nullptr) io::throw_if_stopped(*stop, name);
    try {
      write_piece(file, done, std::span(buffer).first(count));
    } catch (const io::Error& error) {
      if (error.error_number() != ENOSPC) throw;
      throw io::Error::refusal(
          name, fmt::format("does not fit into {}, where it is unpacked: {}", note.folder, way_on));
    }
    done += count;
  }
  file.truncate(done);
  return file;
}

}  // namespace formats

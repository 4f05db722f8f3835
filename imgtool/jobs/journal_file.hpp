// The journal of a job on disk: a ddrescue mapfile whose comments say what it belongs to.
#pragma once

#include <cstdint>
#include <string>

#include "formats/images/mapfile.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "io/devices/device_inventory.hpp"
#include "io/journal.hpp"

namespace imgtool {

// What a mapfile belongs to: texts that are the same whenever the same bytes go to the same
// place, and only then.
struct JobIdentity {
  std::string source;
  std::string target;
  std::uint64_t size = 0;
  // What tells a disk that is read from others: see content_identity(). Compared where both runs
  // know it.
  std::string content{};
};

// By size, time of change, and a sample of the content.
std::string image_identity(io::Ring& ring, ImageSource& image);
// By model and serial number; by path where there is none.
std::string disk_identity(const io::BlockDevice& disk);
// By its absolute path.
std::string file_identity(const std::string& path);
// By that, and as which it is kept: a file that took the place of ours is another one.
std::string kept_file_identity(const std::string& path, const io::File& file);
// By its path and time of change.
std::string source_file_identity(const std::string& path, const io::File& file);

// Refuses (io::Error) to start anew where a mapfile exists.
void refuse_existing_mapfile(const std::string& path);

class JournalFile {
 public:
  // Refuses to resume with a mapfile of another image, target or size, and to start anew over a
  // mapfile that exists. Throws io::Error.
  JournalFile(std::string path, JobIdentity identity, bool resume);

  [[nodiscard]] io::Journal& journal() noexcept { return journal_; }

  // Replaces the file in one step, so that there is always a whole one. Does not throw: a job
  // must not fail because its notes do; says so once.
  void save();

  // How to go on after an interruption.
  [[nodiscard]] std::string advice() const;

 private:
  [[nodiscard]] formats::Mapfile mapfile() const;

  std::string path_;
  JobIdentity identity_;
  io::Journal journal_;
  bool complained_ = false;
};

}  // namespace imgtool

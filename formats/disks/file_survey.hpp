// Which files and folders of a file system take the space, and what of it nobody needs.
//
// Folder by folder from the root on, each once, whatever circles a hostile image makes of them.
// Memory: about 60 bytes and its name for each folder, and 32 for each file with several names: no
// more than 4 Mi folders and 16 Mi files are looked at, and none that lies deeper than 200 folders.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "formats/disks/file_use.hpp"
#include "formats/disks/filesystems/files.hpp"
#include "io/observer.hpp"

namespace formats {

struct SurveyedFile {
  std::string path;  // raw bytes: escape before printing
  std::uint64_t size = 0;
  std::uint64_t stored = 0;
  FileUse use = FileUse::unknown;
};

struct SurveyedFolder {
  std::string path;
  std::uint64_t stored = 0;  // with all that is below it
  std::uint64_t files = 0;   // likewise
  FileUse use = FileUse::unknown;
};

// A folder in a picture of the largest ones. The first is the root; parents come before their
// children.
struct PicturedFolder {
  std::string name;
  std::size_t parent = 0;
  std::uint64_t stored = 0;  // with all that is below it
  FileUse use = FileUse::unknown;
};

struct UseTotal {
  std::uint64_t files = 0;
  std::uint64_t stored = 0;
};

struct FileSurvey {
  std::uint64_t files = 0;
  std::uint64_t folders = 0;
  std::uint64_t others = 0;  // links, devices, pipes, sockets
  std::uint64_t stored = 0;
  std::vector<SurveyedFile> largest_files;      // by what is stored, then by path
  std::vector<SurveyedFolder> largest_folders;  // likewise
  std::array<UseTotal, count_of_uses> uses{};
  std::vector<PicturedFolder> picture;

  std::vector<std::string> problems;  // sentences, the first of them
  std::uint64_t problem_count = 0;
  bool complete = true;  // nothing was left out for being too much
};

// Whether a file is a swap file; asked of few, since it reads.
using SwapFileTest = std::function<bool(filesystems::NodeId id, const filesystems::Node& node)>;

// `most`: of files and of folders that are listed. `stop` may be null. Throws io::Error
// (ErrorKind::cancelled, and those of the root); what is damaged below it is a problem.
[[nodiscard]] FileSurvey survey_files(filesystems::FileTree& tree, std::size_t most,
                                      const SwapFileTest& is_swap_file, const io::StopFlag* stop);

}  // namespace formats

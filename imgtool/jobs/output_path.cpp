#include "imgtool/jobs/output_path.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "imgtool/jobs/device_words.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/report.hpp"
#include "io/error.hpp"
#include "io/output_file.hpp"

namespace imgtool {

namespace {

bool is_block_device(const std::string& path) {
  return io::exists(path) && io::status_of(path).kind == io::FileKind::block_device;
}

// Names under which no file can be made: else it would be its partial file's that fails.
void refuse_impossible_place(const std::string& path) {
  if (io::exists(path)) {
    if (io::status_of(path).kind != io::FileKind::pipe) return;
    throw io::Error::refusal(path, "is a pipe; say - and redirect standard output to it");
  }
  const auto folder = std::filesystem::path(io::through_links(path)).parent_path();
  if (!folder.empty() && !io::exists(folder)) {
    throw io::Error(io::ErrorKind::system, path,
                    fmt::format("there is no folder {}", folder.string()));
  }
}

}  // namespace

std::string spelled_out(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(io::through_links(path), error);
  const auto full = std::filesystem::weakly_canonical(absolute, error);
  return error ? path : full.string();
}

void refuse_device_like_name(const std::string& path, bool takes_pipe) {
  if (path == "-" && !takes_pipe) {
    throw io::Error::refusal(
        path, "is no disk and no file; for standard output: imgtool convert -O raw IMAGE -");
  }
  if (is_block_device(path)) return;
  const std::string full = spelled_out(path);
  if (full.starts_with("/dev/") && !full.starts_with("/dev/shm/")) {
    if (!io::exists(path)) {
      throw io::Error::refusal(path, "there is no such disk (imgtool devices lists them)");
    }
    if (io::status_of(path).kind == io::FileKind::regular) {
      throw io::Error::refusal(path,
                               "is a file in /dev, not a disk, left over from a mistyped name; "
                               "remove it, and plug the disk in again");
    }
  }
  const bool bare = path.find('/') == std::string::npos;
  if (!bare) return;
  for (const std::string folder : {"/dev/", "/dev/disk/by-id/", "/dev/mapper/"}) {
    if (!is_block_device(folder + path)) continue;
    throw io::Error::refusal(path, fmt::format("is a disk's name without its folder; for the disk "
                                               "say {}{}, for a file ./{}",
                                               folder, path, path));
  }
}

void check_output_path(const std::string& path, const std::vector<std::string>& others,
                       const io::DeviceUsage& usage) {
  if (path == "-") return;
  refuse_device_like_name(path, true);
  refuse_impossible_place(path);
  for (const std::string& name : {path, io::OutputFile::partial_path_of(path)}) {
    for (const std::string& other : others) {
      if (spelled_out(name) != spelled_out(other)) continue;
      throw io::Error::refusal(
          path, fmt::format("is written as {}, which this job needs for something else", name));
    }
    if (!io::exists(name)) continue;
    const auto reasons = usage.reasons_not_to_write(name, others);
    if (!reasons.empty()) throw io::Error::refusal(name, phrase_of(reasons.front()));
  }
}

void note_no_locks(const std::string& path) {
  complain(
      fmt::format("note: {}: there are no locks on this file system, so a second program that "
                  "writes this file would not be noticed",
                  terminal_text(path)));
}

}  // namespace imgtool

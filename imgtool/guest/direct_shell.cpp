#include "imgtool/guest/direct_shell.hpp"

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "imgtool/guest/trouble.hpp"

namespace imgtool::guest {
namespace {

constexpr std::string_view view_folder = "/view/";
constexpr int most_signals = 64;

// Whether `device` is a word of `command`: not the begin of another one's name.
bool names(std::string_view command, std::string_view device) {
  for (auto place = command.find(device); place != std::string_view::npos;
       place = command.find(device, place + 1)) {
    const auto end = place + device.size();
    const bool goes_on = end < command.size() && command[end] >= '0' && command[end] <= '9';
    if (!goes_on) return true;
  }
  return false;
}

CommandResult run_in_box(Box& box, const std::string& command, const std::vector<BoxFile>& files) {
  try {
    return box.run(command, files);
  } catch (const io::Error& error) {
    if (error.error_number() != ENOSPC) throw;
    throw io::Error(
        io::ErrorKind::system, error.path(),
        "its folder is full, so the work could not go on; --work-dir names another one");
  }
}

}  // namespace

std::string view_of(unsigned partition) { return fmt::format("{}{}", view_folder, partition); }

void DirectShell::show(const std::string& device, const io::ViewContent& content) {
  files_.push_back({device.substr(view_folder.size()), content});
}

CommandResult DirectShell::run(const std::string& command) {
  std::vector<BoxFile> named;
  for (const BoxFile& file : files_) {
    if (names(command, fmt::format("{}{}", view_folder, file.name))) named.push_back(file);
  }
  CommandResult result = run_in_box(box_, command, named);
  if (result.code == program_not_found) throw failed_step(result.complaint());
  const int signal = result.code - signal_codes;
  if (signal > 0 && signal <= most_signals) {
    throw ProgramDied(
        io::ErrorKind::system, "the work on the copy",
        fmt::format("'{}' was ended by signal {} ({})", command, signal, ::strsignal(signal)));
  }
  return result;
}

}  // namespace imgtool::guest

#include "imgtool/output_path.hpp"

#include <filesystem>

#include <fmt/format.h>

#include "io/error.hpp"
#include "io/output_file.hpp"

namespace imgtool {

std::string spelled_out(const std::string& path) {
  std::error_code error;
  const auto absolute = std::filesystem::absolute(io::through_links(path), error);
  const auto full = std::filesystem::weakly_canonical(absolute, error);
  return error ? path : full.string();
}

void check_output_path(const std::string& path, const std::vector<std::string>& others,
                       const io::DeviceUsage& usage) {
  if (path == "-") return;
  for (const std::string& name : {path, io::OutputFile::partial_path_of(path)}) {
    for (const std::string& other : others) {
      if (spelled_out(name) != spelled_out(other)) continue;
      throw io::Error::refusal(
          path, fmt::format("is written as {}, which this job needs for something else", name));
    }
    if (!io::exists(name)) continue;
    const auto reasons = usage.reasons_not_to_write(name, others);
    if (!reasons.empty()) throw io::Error::refusal(name, reasons.front().phrase());
  }
}

}  // namespace imgtool

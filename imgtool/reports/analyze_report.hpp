// What `analyze` found, in words and as JSON.
#pragma once

#include <optional>
#include <string>

#include "formats/disks/analysis.hpp"
#include "formats/disks/file_survey.hpp"
#include "formats/images/format.hpp"
#include "formats/images/qcow2/check.hpp"
#include "formats/images/qcow2/usage.hpp"
#include "imgtool/reports/outlook.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

struct Qcow2Analysis {
  std::uint64_t cluster_size = 0;
  std::optional<formats::qcow2::CheckResult> check;  // nothing: too large to be checked
  std::optional<formats::qcow2::Usage> usage;        // nothing: a table is damaged
};

// --files: of a volume whose files can be read.
struct VolumeFiles {
  std::string place;
  std::string part;  // as `ls` names it
  formats::FileSurvey survey;
  std::string warning;
  std::string unread_because;  // empty: it was read
};

struct ImageAnalysis {
  std::string path;
  formats::Format format = formats::Format::raw;
  bool block_device = false;  // then the file is the disk
  std::uint64_t file_size = 0;
  std::uint64_t allocated = 0;  // what the file takes on its disk
  bool deep = false;            // stored zeros were looked for
  formats::StorageMap map;
  formats::DiskAnalysis disk;
  std::optional<Qcow2Analysis> qcow2;
  std::vector<Prospect> prospects;
  std::string no_prospects_because;               // the content could not be read
  std::optional<std::vector<VolumeFiles>> files;  // nothing: was not asked for
};

// "qcow2, 16.0 GiB inside; the file has 3.6 GiB, of which 3.6 GiB take space"
[[nodiscard]] std::string summary(const ImageAnalysis& analysis);

[[nodiscard]] Json to_json(const ImageAnalysis& analysis);

// `width` of the terminal; nothing: no line is cut.
[[nodiscard]] std::string to_text(const ImageAnalysis& analysis, std::optional<std::size_t> width);

}  // namespace imgtool

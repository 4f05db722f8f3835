// What `imgtool shrink` and `imgtool sparsify` are asked to do.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/image.hpp"
#include "imgtool/guest/key_file.hpp"
#include "imgtool/jobs/output_options.hpp"

namespace imgtool::guest {

enum class XfsChoice : std::uint8_t { keep, recreate };
// Who works on the file systems; see engine.hpp.
enum class EngineChoice : std::uint8_t { automatic, direct, appliance };
enum class VerifyChoice : std::uint8_t { full, quick };

struct ShrinkOptions {
  std::string source;
  std::string output;  // empty: the plan is all that is wanted
  formats::OpenOptions open;
  OutputOptions target;
  unsigned threads = 1;
  std::uint64_t rate = 0;

  bool change_sizes = true;  // false: sparsify
  bool plan_only = false;
  std::optional<std::uint64_t> slack;  // bytes above each file system's minimum
  bool minimal = false;
  std::vector<unsigned> keep;  // partitions that stay as they are
  XfsChoice xfs = XfsChoice::keep;
  bool strict = false;
  // A hibernated Linux's: what it had in memory, which is in the swap area.
  bool drop_swap_content = false;
  bool trust_maps = false;  // the host's look at free space asks no files
  VerifyChoice verify = VerifyChoice::full;
  EngineChoice engine = EngineChoice::automatic;
  std::optional<std::string> work_folder;
  std::vector<KeyFile> keys;
  std::optional<std::string> fixed_appliance;

  [[nodiscard]] bool keeps(unsigned partition) const;
};

}  // namespace imgtool::guest

// What burn says when it is over: each target's fate.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "imgtool/burn_job.hpp"

namespace imgtool {

struct BurnFacts {
  std::string image;
  VerifyMode verify = VerifyMode::full;
  double seconds = 0;
};

// Prints the report, as text or as one JSON document, and gives the exit code.
int report_burn(const BurnFacts& facts, const BurnJob& job,
                const std::vector<std::unique_ptr<BurnTarget>>& targets, bool json);

}  // namespace imgtool

// What burn says in the end about each target.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "imgtool/jobs/burn_job.hpp"
#include "imgtool/jobs/burn_target.hpp"

namespace imgtool {

struct BurnFacts {
  std::string image;
  VerifyMode verify = VerifyMode::full;
  std::string content{};                 // what the image holds, in words; "" unknown
  std::vector<std::string> misplaced{};  // for each target, why the image does not go with it
  double seconds = 0;
  bool file_matched = false;  // the image's file has the digest that was asked for
};

// Prints the report, as text or as one JSON document, and gives the exit code.
int report_burn(const BurnFacts& facts, const BurnJob& job,
                const std::vector<std::unique_ptr<BurnTarget>>& targets, bool json);

// Says on standard error in which state each disk is, after a burn that threw.
void report_stopped_burn(const BurnJob& job,
                         const std::vector<std::unique_ptr<BurnTarget>>& targets);

}  // namespace imgtool

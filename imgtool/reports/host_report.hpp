// What is said about the features of this host.
#pragma once

#include <string>
#include <vector>

#include "imgtool/jobs/host_features.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool {

// For each finding a line, and what to do about what does not work.
[[nodiscard]] std::string host_table(const std::vector<HostFinding>& findings);

// {"features": [{"name", "works", "needed-for", "found", "remedy"}]}
[[nodiscard]] Json host_document(const std::vector<HostFinding>& findings);

}  // namespace imgtool

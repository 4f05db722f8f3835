// imgtool doctor: what works on this host, and what to install.
#include <algorithm>
#include <filesystem>

#include "imgtool/command.hpp"
#include "imgtool/companion.hpp"
#include "imgtool/jobs/host_features.hpp"
#include "imgtool/reports/host_report.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

// A companion that starts says that it is run by imgtool: the exit code of wrong usage. The loader,
// where a library is missing, has another one.
HostFinding look_at_companion(HostFeature feature, std::string_view companion,
                              const std::vector<std::string>& arguments, int expected) {
  try {
    const std::string path = companion_path(companion);
    ProgramResult result = try_program(path, arguments);
    constexpr std::string_view own_name = "imgtool: ";
    if (result.last_line.starts_with(own_name)) result.last_line.erase(0, own_name.size());
    const bool works = result.exit_code == expected;
    return {feature, works, works ? path : result.last_line};
  } catch (const io::Error& error) {
    return {feature, false, error.what()};
  }
}

std::vector<HostFeature> asked_for(const std::vector<std::string>& words) {
  const auto& names = host_feature_names();
  std::vector<HostFeature> features;
  features.reserve(words.size());
  for (const std::string& word : words) {
    features.push_back(static_cast<HostFeature>(parse_choice(word, names)));
  }
  return features;
}

}  // namespace

int run_doctor(const Arguments& arguments) {
  std::string folder = ".";
  std::vector<std::string> wanted;
  CommandLine line("doctor",
                   "Tries what imgtool can use on this host, and tells what does not work, what "
                   "it is needed for, and what to install. Nothing is changed.");
  line.any_arguments("FEATURE", wanted,
                     "say only whether these work: " + join(host_feature_names(), ", "));
  line.option("folder", text_into(folder, "DIR"),
              "where images are kept, for direct-io, locks and room (default: the current one)");
  line.exit_code(exit_code::failed, "failed, or a FEATURE does not work");
  line.example("imgtool doctor --folder /srv/images", "all of them");
  line.example("imgtool doctor -q shrink kvm || exit 1", "in a script");
  if (const auto exit = line.parse(arguments)) return *exit;

  const std::vector<HostFeature> features = asked_for(wanted);
  if (!std::filesystem::is_directory(folder))
    throw UsageError("doctor: " + folder + " is no folder");
  std::vector<HostFinding> findings = look_at_host(folder);
  findings.push_back(look_at_companion(HostFeature::shrink, "guest", {}, exit_code::usage));
  findings.push_back(
      look_at_companion(HostFeature::attach, "virt", {"domains", "-q"}, exit_code::done));
  if (!features.empty()) {
    std::erase_if(findings, [&](const HostFinding& finding) {
      return std::find(features.begin(), features.end(), finding.feature) == features.end();
    });
  }
  if (line.common().json) {
    print_json(host_document(findings));
  } else {
    print(host_table(findings));
  }
  const bool all_work = std::all_of(findings.begin(), findings.end(),
                                    [](const HostFinding& finding) { return finding.works; });
  return features.empty() || all_work ? exit_code::done : exit_code::failed;
}

}  // namespace imgtool

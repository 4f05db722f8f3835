#include "imgtool/guest/engine.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "imgtool/cli/option_value.hpp"
#include "imgtool/guest/content.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

bool is_left_alone(const VolumePlan& volume, const ShrinkOptions& options) {
  return options.keeps(volume.partition) || volume.kept || content_of(volume.type) == nullptr;
}

struct Program {
  std::string_view name, package;
};

// Those that a kind of content is worked on with.
std::vector<Program> programs_for(const Content* content, const ShrinkOptions& options) {
  if (content == &ext_content) {
    std::vector<Program> programs = {{"e2fsck", "e2fsprogs"}, {"dumpe2fs", "e2fsprogs"}};
    if (options.change_sizes) programs.push_back({"resize2fs", "e2fsprogs"});
    return programs;
  }
  if (content == &ntfs_content && options.change_sizes) return {{"ntfsresize", "ntfs-3g"}};
  return {};
}

std::string missing_program(const std::vector<Program>& programs, const Box& box) {
  for (const Program& program : programs) {
    if (box.has_program(std::string(program.name))) continue;
    return fmt::format("{} is not installed (Debian: apt-get install {})", program.name,
                       program.package);
  }
  return "";
}

struct Survey {
  std::string obstacle;
  std::vector<std::string> types;  // that programs work on
};

Survey survey(const SourceDisk& source, const std::vector<VolumePlan>& volumes,
              const ShrinkOptions& options, Box& box) {
  Survey found;
  for (const VolumePlan& volume : volumes) {
    const bool needs_replay = volume.id && source.needs_replay(*volume.id);
    found.obstacle = obstacle_to_direct(volume, needs_replay, options);
    if (!found.obstacle.empty()) return found;
    if (is_left_alone(volume, options)) continue;
    const auto programs = programs_for(content_of(volume.type), options);
    found.obstacle = missing_program(programs, box);
    if (!found.obstacle.empty()) return found;
    const bool known =
        std::find(found.types.begin(), found.types.end(), volume.type) != found.types.end();
    if (!programs.empty() && !known) found.types.push_back(volume.type);
  }
  if (found.types.empty()) return found;
  if (const std::string why = box.why_not(); !why.empty()) {
    found.obstacle = "programs cannot be locked up here: " + why;
  }
  return found;
}

}  // namespace

std::string obstacle_to_direct(const VolumePlan& volume, bool needs_replay,
                               const ShrinkOptions& options) {
  if (is_left_alone(volume, options)) return "";
  const auto because = [&](std::string_view what) {
    return fmt::format("{} {}", title(volume), what);
  };
  const Content* content = content_of(volume.type);
  if (needs_replay) return because("has a journal to be replayed");
  if (volume.type == hibernated_type) return because("holds a hibernated system");
  if (content == &swap_content) return "";
  if (content == &luks_content) return options.keys.empty() ? "" : because("is to be unlocked");
  const bool is_anew =
      content == &xfs_content && options.change_sizes && options.xfs == XfsChoice::recreate;
  const bool by_programs = content == &ext_content || content == &ntfs_content ||
                           content == &fat_content || (content == &xfs_content && !is_anew);
  if (!by_programs) return because("is worked on by its kernel");
  if (!volume.mapped) return because("has free space that its kernel alone can tell");
  return "";
}

EngineUse choose_engine(const SourceDisk& source, const std::vector<VolumePlan>& volumes,
                        const ShrinkOptions& options, Box& box) {
  if (options.engine == EngineChoice::appliance) return {false, "--engine=appliance"};
  const Survey found = survey(source, volumes, options, box);
  if (found.obstacle.empty()) {
    return {true, found.types.empty() ? "no file system is worked on"
                                      : fmt::format("what is worked on ({}) needs no kernel",
                                                    join(found.types, ", "))};
  }
  if (options.engine == EngineChoice::automatic) return {false, found.obstacle};
  throw io::Error::refusal(
      options.source,
      fmt::format("--engine=direct cannot do it: {}; with --engine=auto the appliance does",
                  found.obstacle));
}

}  // namespace imgtool::guest

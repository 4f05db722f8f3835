// What is to become of the disk: shown by --plan, then done, then told as what was done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "formats/disks/partitions/relayout.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/source_disk.hpp"
#include "imgtool/guest/volume_plan.hpp"
#include "imgtool/terminal/json.hpp"

namespace imgtool::guest {

struct Plan {
  std::string source;
  std::uint64_t old_size = 0;
  std::uint64_t new_size = 0;
  bool has_table = false;
  std::vector<VolumePlan> volumes;
  std::vector<formats::partitions::Placement> placements;
  std::vector<io::ByteRange> left_out;  // in no partition, holds something, does not come along
  std::vector<std::string> notes;
  std::string engine, engine_because;  // who works on it, and why: a clause

  [[nodiscard]] const formats::partitions::Placement* placement_of(unsigned partition) const;
};

// Where everything goes, for the sizes that the volumes have now. `disk` shows the old disk: the
// source, or what the appliance made of it, when it was worked on.
[[nodiscard]] formats::partitions::Relayout lay_out(formats::DiskView& disk,
                                                    const SourceDisk& source,
                                                    const std::vector<VolumePlan>& volumes,
                                                    bool worked_on);

// Notes about what moves, for people.
void add_notes(Plan& plan, const SourceDisk& source);

// Lines for people, escaped; made to fit `width`.
[[nodiscard]] std::string to_text(const Plan& plan, std::optional<std::size_t> width);
[[nodiscard]] Json to_json(const Plan& plan);

}  // namespace imgtool::guest

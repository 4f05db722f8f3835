// The layout of a new image of blocks: vpc, vhdx or vdi.
#pragma once

#include <cstdint>
#include <memory>

#include "formats/images/block_layout.hpp"
#include "imgtool/jobs/output_plan.hpp"

namespace imgtool {

// For a disk of `size` bytes, which plan_output() took. Null: of a format that has none.
[[nodiscard]] std::unique_ptr<formats::BlockLayout> new_blocks(const OutputPlan& plan,
                                                               std::uint64_t size);

}  // namespace imgtool

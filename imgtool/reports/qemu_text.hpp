// Answers in the words of qemu-img 7.2, line by line, for scripts that look for these (grep
// 'virtual size:', awk '/Mapped to/'). All of it ends with newlines.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "formats/images/facts.hpp"
#include "formats/images/qcow2/snapshots.hpp"

namespace imgtool {

// "1.5 GiB": three digits, without zeros at their end.
[[nodiscard]] std::string qemu_size(std::uint64_t bytes);

// `qemu-img info`.
[[nodiscard]] std::string qemu_info(const formats::ImageFacts& facts);

// `qemu-img snapshot -l`; empty where there are none.
[[nodiscard]] std::string qemu_snapshot_list(
    const std::vector<formats::qcow2::Snapshot>& snapshots);

}  // namespace imgtool

// What the tests of images over a block map share.
#pragma once

#include <sys/mman.h>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/images/block_map.hpp"
#include "io/error.hpp"
#include "io/file.hpp"

namespace formats::testing_blocks {

// A file in memory, named "image".
inline io::File file_of(std::span<const std::byte> content) {
  io::File file(io::FileDescriptor(memfd_create("image", MFD_CLOEXEC)), "image");
  file.write_at(0, content);
  return file;
}

// `action` throws an Error of `kind` that names the image and `words`.
template <std::invocable Action>
void expect_refused(io::ErrorKind kind, const std::string& words, const Action& action) {
  try {
    (void)action();
    ADD_FAILURE() << "was taken, though: " << words;
  } catch (const io::Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    EXPECT_EQ(error.path(), "image");
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
  }
}

// All runs of the disk, which have to follow one another.
inline std::vector<BlockRun> runs_of(BlockMap& map) {
  std::vector<BlockRun> runs;
  for (std::uint64_t guest = 0; guest < map.guest_size();) {
    const BlockRun run = map.run_at(guest, map.guest_size() - guest);
    EXPECT_EQ(run.guest, guest);
    EXPECT_GT(run.length, 0U);
    EXPECT_LE(run.length, map.guest_size() - guest);
    if (run.length == 0) break;
    runs.push_back(run);
    guest += run.length;
  }
  return runs;
}

}  // namespace formats::testing_blocks

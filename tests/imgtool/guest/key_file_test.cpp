#include "imgtool/guest/key_file.hpp"

#include <gtest/gtest.h>

#include <unistd.h>

#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool::guest {
namespace {

TEST(KeyFile, IsOfOnePartitionOrOfAny) {
  EXPECT_EQ(parse_key_file("3:a:b").partition, 3U);
  EXPECT_EQ(parse_key_file("3:a:b").path, "a:b");
  EXPECT_EQ(parse_key_file("a:b").partition, std::nullopt);
  EXPECT_EQ(parse_key_file("a:b").path, "a:b");
  EXPECT_THROW((void)parse_key_file("99999999999:a"), UsageError);
}

TEST(KeyFile, IsReadOnceWithoutItsLineEnd) {
  int ends[2] = {};
  ASSERT_EQ(pipe(ends), 0);
  ASSERT_EQ(write(ends[1], "secret\n", 7), 7);
  close(ends[1]);
  KeyFile file = parse_key_file("/proc/self/fd/" + std::to_string(ends[0]));
  read_key(file);
  close(ends[0]);
  EXPECT_EQ(file.key, "secret");
}

TEST(KeyFile, ThatHoldsNoKeyIsRefused) {
  for (const char* path : {"/dev/null", "/dev/zero", "/", "/no/such/file"}) {
    KeyFile file = parse_key_file(path);
    EXPECT_THROW(read_key(file), io::Error) << path;
  }
}

}  // namespace
}  // namespace imgtool::guest

#include "formats/disks/disk_view.hpp"

#include <functional>

#include <gmock/gmock.h>

#include "formats/disks/free_space.hpp"
#include "io/error.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern_source.hpp"

namespace formats {
namespace {

class DiskViewTest : public io::EngineTest {};

INSTANTIATE_TEST_SUITE_P(Engines, DiskViewTest, io::engines_here(), io::engine_name);

TEST_P(DiskViewTest, AStopEndsTheNextRead) {
  io::PatternSource disk(ring(), 1 << 20);
  io::StopFlag stop = 0;
  DiskView view(ring(), disk, &stop);
  EXPECT_EQ(view.read(4096, 16).size(), 16U);
  stop = 2;
  DiskView part = view.part({65536, 65536});
  for (const auto& look : {std::function<void()>([&] { (void)part.read(0, 16); }),
                           std::function<void()>([&] { (void)find_free_space(view, {}); })}) {
    try {
      look();
      FAIL() << "went on";
    } catch (const io::Error& error) {
      EXPECT_EQ(error.kind(), io::ErrorKind::cancelled);
    }
  }
}

}  // namespace
}  // namespace formats

#include "io/content_digest.hpp"

#include <gtest/gtest.h>

#include "io/task_group.hpp"
#include "tests/io/engines.hpp"
#include "tests/io/pattern.hpp"

namespace io {
namespace {

class ContentDigestTest : public EngineTest {};
INSTANTIATE_TEST_SUITE_P(Engines, ContentDigestTest, engines_here(), engine_name);

std::string digest_of(std::span<const std::byte> bytes) {
  Digest digest(DigestAlgorithm::sha256);
  digest.update(bytes);
  return digest.hex();
}

TEST_P(ContentDigestTest, OrderOfArrivalDoesNotMatter) {
  const auto content = pattern({0, 5000});
  std::vector<std::byte> whole = content;
  whole.insert(whole.begin() + 1000, 70'000, std::byte{0});

  WorkerPool worker(1);
  ContentDigest digest(ring(), worker, DigestAlgorithm::sha256);
  const std::span<const std::byte> bytes = content;
  TaskGroup group(ring());
  group.spawn(digest.update(72'000, bytes.subspan(2000)));
  group.spawn(digest.update_zeros({1000, 70'000}));
  group.spawn(digest.update(71'000, bytes.subspan(1000, 1000)));
  group.spawn(digest.update(0, bytes.first(1000)));
  group.run();
  EXPECT_EQ(digest.hex(), digest_of(whole));
}

TEST_P(ContentDigestTest, OfNothing) {
  WorkerPool worker(1);
  ContentDigest digest(ring(), worker, DigestAlgorithm::sha256);
  EXPECT_EQ(digest.hex(), digest_of({}));
}

TEST_P(ContentDigestTest, AbandonLetsGoOfThoseWhoWait) {
  const auto content = pattern({0, 1000});
  WorkerPool worker(1);
  ContentDigest digest(ring(), worker, DigestAlgorithm::sha256);
  const auto abandon = [](Ring& r, ContentDigest& d) -> Task<> {
    (void)co_await r.nop();
    d.abandon();
  };
  TaskGroup group(ring());
  group.spawn(digest.update(1000, content));  // what comes before never comes
  group.spawn(digest.update_zeros({2000, 50}));
  group.spawn(abandon(ring(), digest));
  group.run();
  run_task(ring(), digest.update(0, content));  // and a later call does not wait
}

}  // namespace
}  // namespace io

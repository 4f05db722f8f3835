// Tests that must hold on both engines of the ring.
//
//   class CopierTest : public io::EngineTest {};
//   INSTANTIATE_TEST_SUITE_P(Engines, CopierTest, io::engines_here(), io::engine_name);
#pragma once

#include <memory>
#include <string>

#include <gtest/gtest.h>

#include "io/ring.hpp"

namespace io {

class EngineTest : public testing::TestWithParam<Engine> {
 protected:
  explicit EngineTest(unsigned entries = 64) : ring_(make(entries)) {}

  static std::unique_ptr<Ring> make(unsigned entries, unsigned threads = 8) {
    RingOptions options;
    options.engine = GetParam();
    options.entries = entries;
    options.threads = threads;
    return make_ring(options).ring;
  }
  [[nodiscard]] Ring& ring() const { return *ring_; }

 private:
  std::unique_ptr<Ring> ring_;
};

// io_uring is left out where the kernel, or this build, has none.
inline auto engines_here() {
  std::vector<Engine> engines = {Engine::threads};
  if (std::string(make_ring({}).ring->engine()) == "io_uring") engines.push_back(Engine::uring);
  return testing::ValuesIn(engines);
}

inline std::string engine_name(const testing::TestParamInfo<Engine>& info) {
  return info.param == Engine::uring ? "uring" : "threads";
}

}  // namespace io

// Zero runs beside memcmp on the same buffer size: the promise is >= 80 % of memcmp's speed.
// `bytes_per_second` counts one buffer, as a caller sees it, though memcmp reads two.
#include "io/zero_run.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include <benchmark/benchmark.h>

namespace {

using Buffer = std::vector<std::byte>;

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void scan(benchmark::State& state, const Buffer& buffer) {
  const auto grain = static_cast<std::size_t>(state.range(1));
  for ([[maybe_unused]] auto _ : state) {
    std::size_t zeros = 0;
    for (const io::Run& run : io::zero_runs(buffer, grain)) zeros += run.zero ? run.length : 0;
    benchmark::DoNotOptimize(zeros);
  }
  count_bytes(state);
}

void memcmp_equal(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const Buffer a(size);
  const Buffer b(size);
  for ([[maybe_unused]] auto _ : state) {
    benchmark::DoNotOptimize(a.data());
    benchmark::DoNotOptimize(std::memcmp(a.data(), b.data(), size));
  }
  count_bytes(state);
}
BENCHMARK(memcmp_equal)->Arg(4096)->Arg(64 << 10)->Arg(1 << 20)->Arg(64 << 20);

void zero_runs_all_zeros(benchmark::State& state) {
  scan(state, Buffer(static_cast<std::size_t>(state.range(0))));
}
BENCHMARK(zero_runs_all_zeros)
    ->Args({4096, 512})
    ->Args({64 << 10, 4096})
    ->Args({1 << 20, 4096})
    ->Args({64 << 20, 4096});

// Dense data is left after the first word of each grain.
void zero_runs_data(benchmark::State& state) {
  scan(state, Buffer(static_cast<std::size_t>(state.range(0)), std::byte{0x5A}));
}
BENCHMARK(zero_runs_data)->Args({1 << 20, 512})->Args({1 << 20, 4096});

// The worst data: only the last byte of every grain says so.
void zero_runs_late_data(benchmark::State& state) {
  Buffer buffer(static_cast<std::size_t>(state.range(0)));
  const auto grain = static_cast<std::size_t>(state.range(1));
  for (std::size_t i = grain - 1; i < buffer.size(); i += grain) buffer[i] = std::byte{1};
  scan(state, buffer);
}
BENCHMARK(zero_runs_late_data)->Args({1 << 20, 512})->Args({1 << 20, 4096});

void zero_runs_alternating(benchmark::State& state) {
  Buffer buffer(static_cast<std::size_t>(state.range(0)));
  const auto grain = static_cast<std::size_t>(state.range(1));
  for (std::size_t i = 0; i < buffer.size(); i += 2 * grain) {
    std::fill_n(buffer.begin() + static_cast<std::ptrdiff_t>(i), grain, std::byte{1});
  }
  scan(state, buffer);
}
BENCHMARK(zero_runs_alternating)->Args({1 << 20, 512})->Args({1 << 20, 4096});

void zero_prefix_by_scanner(benchmark::State& state) {
  const auto scanners = io::zero_scanners();
  const auto index = static_cast<std::size_t>(state.range(1));
  if (index >= scanners.size()) {
    state.SkipWithError("this CPU has no such scanner");
    return;
  }
  state.SetLabel(std::string(scanners[index].name));
  const Buffer buffer(static_cast<std::size_t>(state.range(0)));
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(scanners[index].zero_prefix(buffer));
  count_bytes(state);
}
BENCHMARK(zero_prefix_by_scanner)->ArgsProduct({{64 << 10, 1 << 20}, {0, 1, 2}});

}  // namespace

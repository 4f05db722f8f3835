// Digests of a chunk. A burner computes xxh3 of every chunk, so it has to be near memory speed.
#include "io/digest.hpp"

#include <vector>

#include <benchmark/benchmark.h>

namespace {

std::vector<std::byte> chunk(const benchmark::State& state) {
  return std::vector<std::byte>(static_cast<std::size_t>(state.range(0)), std::byte{0x5A});
}

void count_bytes(benchmark::State& state) {
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0));
}

void xxh3_chunk(benchmark::State& state) {
  const auto bytes = chunk(state);
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(io::xxh3(bytes));
  count_bytes(state);
}
BENCHMARK(xxh3_chunk)->Arg(4096)->Arg(1 << 20)->Arg(16 << 20);

void streaming(benchmark::State& state, io::DigestAlgorithm algorithm) {
  const auto bytes = chunk(state);
  io::Digest digest(algorithm);
  for ([[maybe_unused]] auto _ : state) digest.update(bytes);
  benchmark::DoNotOptimize(digest.hex());
  count_bytes(state);
}
BENCHMARK_CAPTURE(streaming, sha256, io::DigestAlgorithm::sha256)->Arg(1 << 20);
BENCHMARK_CAPTURE(streaming, xxh3, io::DigestAlgorithm::xxh3)->Arg(1 << 20);

}  // namespace

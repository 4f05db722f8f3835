// What one request costs: from a coroutine into the ring, and back when it has completed.
// items_per_second counts requests; depth is the number of lanes that wait at the same time.
#include <cstdio>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <unistd.h>

#include <benchmark/benchmark.h>

#include "io/error.hpp"
#include "io/ring.hpp"
#include "io/task.hpp"
#include "io/task_group.hpp"
#include "io/worker_pool.hpp"

namespace {

constexpr std::size_t block = 4096;
constexpr int requests_per_lane = 256;

// Nothing, with the benchmark marked as failed, where the engine does not exist.
std::unique_ptr<io::Ring> ring_for(benchmark::State& state, io::Engine engine) {
  try {
    return io::make_ring({.engine = engine}).ring;
  } catch (const io::Error& error) {
    state.SkipWithError(error.what());
    return nullptr;
  }
}

io::Task<> nop_lane(io::Ring& ring) {
  for (int i = 0; i < requests_per_lane; ++i) (void)co_await ring.nop();
}

io::Task<> read_lane(io::Ring& ring, io::RingFile file, io::Buffer buffer) {
  for (int i = 0; i < requests_per_lane; ++i) (void)co_await ring.read(file, 0, buffer);
}

io::Task<> work_lane(io::Ring& ring, io::WorkerPool& pool) {
  const std::function<void()> work = [] {};
  for (int i = 0; i < requests_per_lane; ++i) co_await pool.run(ring, work);
}

// Runs `depth` lanes to their end in each round; `spawn` starts lane number N.
template <class Spawn>
void run_lanes(benchmark::State& state, io::Ring& ring, const Spawn& spawn) {
  const auto depth = static_cast<std::size_t>(state.range(0));
  for ([[maybe_unused]] auto _ : state) {
    io::TaskGroup group(ring);
    for (std::size_t lane = 0; lane < depth; ++lane) spawn(group, lane);
    group.run();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * state.range(0) *
                          requests_per_lane);
}

void ring_nop(benchmark::State& state, io::Engine engine) {
  const auto ring = ring_for(state, engine);
  if (!ring) return;
  run_lanes(state, *ring, [&](io::TaskGroup& group, std::size_t) { group.spawn(nop_lane(*ring)); });
}
BENCHMARK_CAPTURE(ring_nop, uring, io::Engine::uring)->Arg(1)->Arg(16)->UseRealTime();
BENCHMARK_CAPTURE(ring_nop, threads, io::Engine::threads)->Arg(1)->Arg(16)->UseRealTime();

// 4 KiB from the page cache: the request's own cost, no device.
void ring_read(benchmark::State& state, io::Engine engine) {
  const auto ring = ring_for(state, engine);
  if (!ring) return;
  std::vector<std::byte> memory(static_cast<std::size_t>(state.range(0)) * block, std::byte{1});
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::tmpfile(), std::fclose);
  if (!file || write(fileno(file.get()), memory.data(), block) != block) {
    state.SkipWithError("no temporary file");
    return;
  }
  const io::RingFile known = ring->remember(fileno(file.get()));
  run_lanes(state, *ring, [&](io::TaskGroup& group, std::size_t lane) {
    const io::Buffer buffer{std::span(memory).subspan(lane * block, block)};
    group.spawn(read_lane(*ring, known, buffer));
  });
  ring->forget(known);
}
BENCHMARK_CAPTURE(ring_read, uring, io::Engine::uring)->Arg(1)->Arg(16)->UseRealTime();
BENCHMARK_CAPTURE(ring_read, threads, io::Engine::threads)->Arg(1)->Arg(16)->UseRealTime();

// There and back through the worker pool, with nothing to do there.
void worker_round_trip(benchmark::State& state, io::Engine engine) {
  const auto ring = ring_for(state, engine);
  if (!ring) return;
  io::WorkerPool pool(2);
  run_lanes(state, *ring,
            [&](io::TaskGroup& group, std::size_t) { group.spawn(work_lane(*ring, pool)); });
}
BENCHMARK_CAPTURE(worker_round_trip, uring, io::Engine::uring)->Arg(1)->Arg(16)->UseRealTime();
BENCHMARK_CAPTURE(worker_round_trip, threads, io::Engine::threads)->Arg(1)->Arg(16)->UseRealTime();

}  // namespace

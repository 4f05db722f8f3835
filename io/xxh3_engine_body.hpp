// The functions of one Xxh3Engine, compiled into each file that includes this.
#pragma once

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "io/xxh3_engine.hpp"

namespace io {
namespace {

uint64_t engine_hash(const void* bytes, size_t size) { return XXH3_64bits(bytes, size); }

void* engine_create() {
  XXH3_state_t* state = XXH3_createState();
  if (state != nullptr) XXH3_64bits_reset(state);
  return state;
}

void engine_update(void* state, const void* bytes, size_t size) {
  XXH3_64bits_update(static_cast<XXH3_state_t*>(state), bytes, size);
}

uint64_t engine_digest(const void* state) {
  return XXH3_64bits_digest(static_cast<const XXH3_state_t*>(state));
}

void engine_destroy(void* state) { XXH3_freeState(static_cast<XXH3_state_t*>(state)); }

}  // namespace
}  // namespace io

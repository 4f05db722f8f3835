// XXH3 compiled for one level of the instruction set; only io/digest.cpp chooses and calls.
//
// libxxhash's shared library is built for plain x86-64 at -O2 (6 GB/s here), its dispatching
// functions (19 GB/s) are missing from Debian's static archive. So the header is compiled here
// once as it is (-O3: 11 GB/s) and once with -mavx2 (19 GB/s).
//
// This header and the body stay plain C: an inline C++ function compiled with -mavx2 could be
// the copy that the linker keeps for everybody.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace io {

struct Xxh3Engine {
  const char* name;
  uint64_t (*hash)(const void* bytes, size_t size);
  // A streaming state, never shared between engines. nullptr: out of memory.
  void* (*create)();
  void (*update)(void* state, const void* bytes, size_t size);
  uint64_t (*digest)(const void* state);
  void (*destroy)(void* state);
};

extern const Xxh3Engine xxh3_baseline;
#if defined(__x86_64__)
extern const Xxh3Engine xxh3_avx2;
#endif

}  // namespace io

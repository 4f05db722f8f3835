// XXH3 with AVX2 (CMakeLists.txt compiles it with -O3 -mavx2); empty on other architectures.
#if defined(__x86_64__)
#include "io/xxh3_engine_body.hpp"

namespace io {

const Xxh3Engine xxh3_avx2 = {"avx2",        engine_hash,   engine_create,
                              engine_update, engine_digest, engine_destroy};

}  // namespace io
#endif

// XXH3 with what every CPU of this architecture has (CMakeLists.txt compiles it with -O3).
#include "io/xxh3_engine_body.hpp"

namespace io {

const Xxh3Engine xxh3_baseline = {"baseline",    engine_hash,   engine_create,
                                  engine_update, engine_digest, engine_destroy};

}  // namespace io

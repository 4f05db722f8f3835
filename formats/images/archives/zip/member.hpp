// The content of a zip member, front to back.
#pragma once

#include <memory>

#include "formats/images/archives/zip/directory.hpp"
#include "io/byte_stream.hpp"
#include "io/observer.hpp"

namespace formats::zip {

inline constexpr std::uint16_t stored = 0;

// Throws ErrorKind::refused, and says what unpacks it, where imgtool cannot: it is encrypted, or
// packed in a way that is not known here.
void refuse_unreadable(const io::File& file, const Member& member);

// Unpacked, with its length and CRC-32 checked. `data` is data_of() the member; `name` and what the
// errors say are the caller's. `file` need not outlive the stream; `stop` may be null.
[[nodiscard]] std::unique_ptr<io::ByteStream> open_member(const io::File& file,
                                                          const Member& member, io::ByteRange data,
                                                          const std::string& name,
                                                          const io::StopFlag* stop);

}  // namespace formats::zip

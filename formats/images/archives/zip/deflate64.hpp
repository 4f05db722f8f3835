// Deflate64, with which Windows packs what is longer than 2 GiB: deflate with a history of 64 KiB,
// and matches of up to 65,538 bytes.
//
// Source: RFC 1951, and what differs by the tables of PKWARE's APPNOTE 5.5 as zlib's contrib
// infback9 has them: length code 285 begins at 3 and has 16 further bits; distance codes 30 and 31
// begin at 32,769 and 49,153 and have 14.
#pragma once

#include <memory>

#include "formats/images/streams/codec.hpp"

namespace formats::zip {

// One stream without a header. Takes 400 KiB, whatever the stream says.
std::unique_ptr<streams::Codec> make_deflate64_codec();

}  // namespace formats::zip

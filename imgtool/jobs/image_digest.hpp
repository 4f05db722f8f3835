// Which digest an image must have, and of what: published sums are of the file as it lies there,
// others are of the disk inside.
#pragma once

#include <optional>
#include <string>

#include "imgtool/cli/option_value.hpp"
#include "io/copier.hpp"

namespace imgtool {

struct WantedDigest {
  ExpectedDigest expected;
  // Set where a sums file says so; else it may be of either.
  bool of_file = false;
  std::string found_in{};  // the sums file; "" when it was given
};

// The digest of `image` in a sums file beside it: IMAGE.sha256, IMAGE.sha256sum, SHA256SUMS,
// sha256sum.txt, each with lines of sha256sum. Throws ErrorKind::refused where there is none.
[[nodiscard]] WantedDigest find_digest_beside(const std::string& image);

// The digest of all bytes of the file, whatever they contain. Throws io::Error, also
// ErrorKind::cancelled.
[[nodiscard]] std::string digest_of_file(io::Ring& ring, const std::string& path,
                                         io::DigestAlgorithm algorithm,
                                         const io::CopyOptions& options, io::CopyObserver& observer,
                                         const io::StopFlag& stop);

}  // namespace imgtool

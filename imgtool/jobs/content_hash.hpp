// The digest of a whole disk's content, by reading all of it.
#pragma once

#include <string>

#include "imgtool/cli/options.hpp"
#include "io/content_digest.hpp"
#include "io/copier.hpp"
#include "io/digest.hpp"

namespace imgtool {

struct ContentHash {
  std::string hex;
  std::uint64_t size = 0;  // bytes that were hashed
};

// Throws the source's errors, and ErrorKind::cancelled once `stop` is set.
ContentHash hash_content(io::Ring& ring, io::Source& source, io::DigestAlgorithm algorithm,
                         const io::CopyOptions& options, io::CopyObserver& observer,
                         const io::StopFlag& stop);

// That of a disk of `disk_size` bytes: `content_size` bytes, which `digest` has seen, then zeros.
std::string digest_of_disk(io::Ring& ring, io::ContentDigest& digest, std::uint64_t content_size,
                           std::uint64_t disk_size);

// "HEX  NAME\n" as sha256sum writes it: a name with a line break or a backslash is escaped and
// the line starts with a backslash.
std::string digest_line(const std::string& hex, const std::string& name);
// The same for standard output: on a terminal, what could steer it is escaped, too.
std::string digest_to_print(const std::string& hex, const std::string& name);

// sha256 or xxh3.
OptionValue digest_algorithm_into(io::DigestAlgorithm& algorithm);
OptionValue digest_algorithm_into(std::optional<io::DigestAlgorithm>& algorithm);

}  // namespace imgtool

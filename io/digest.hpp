// Digests of content: one number for one chunk, or a streaming digest for a whole disk.
//
// xxh3() may be called by any thread. A Digest belongs to one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace io {

// XXH3 (64 bits, seed 0) of a chunk: fast, and no protection against a forger.
[[nodiscard]] std::uint64_t xxh3(std::span<const std::byte> bytes) noexcept;

enum class DigestAlgorithm : std::uint8_t { sha256, xxh3, sha512, sha384, sha224, sha1, md5 };

// "sha256", "xxh3", "sha512" ...
[[nodiscard]] std::string_view digest_name(DigestAlgorithm algorithm) noexcept;
// The inverse, exact lower case; nothing for a name that is none of ours.
[[nodiscard]] std::optional<DigestAlgorithm> parse_digest_name(std::string_view name) noexcept;
// How long the hexadecimal form is.
[[nodiscard]] std::size_t digest_hex_digits(DigestAlgorithm algorithm) noexcept;

// The digest of bytes that arrive in order. Throws io::Error (unsupported) if the crypto library
// cannot provide the algorithm.
class Digest {
 public:
  explicit Digest(DigestAlgorithm algorithm);
  ~Digest();
  Digest(Digest&&) noexcept;
  Digest& operator=(Digest&&) noexcept;

  void update(std::span<const std::byte> bytes);
  // The same as update() with `count` zeros, without a buffer of that size.
  void update_zeros(std::uint64_t count);

  // That of everything so far, in lower case. More may follow.
  [[nodiscard]] std::string hex() const;

 private:
  class State;
  class Crypto;
  class Xxh3;
  std::unique_ptr<State> state_;
};

}  // namespace io

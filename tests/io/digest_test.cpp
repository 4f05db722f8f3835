#include "io/digest.hpp"

#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "io/xxh3_engine.hpp"

namespace io {
namespace {

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::vector<std::byte> mixed_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
  return bytes;
}

std::string digest_of(DigestAlgorithm algorithm, std::span<const std::byte> bytes) {
  Digest digest(algorithm);
  digest.update(bytes);
  return digest.hex();
}

// From `sha256sum` and `xxhsum -H3`.
TEST(Digest, KnownValues) {
  EXPECT_EQ(digest_of(DigestAlgorithm::sha256, {}),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(digest_of(DigestAlgorithm::sha256, bytes_of("abc")),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest_of(DigestAlgorithm::xxh3, {}), "2d06800538d394c2");
  EXPECT_EQ(digest_of(DigestAlgorithm::xxh3, bytes_of("abc")), "78af5f94892f3950");
}

TEST(Digest, PiecesAndZerosGiveTheDigestOfTheWhole) {
  for (const auto algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::xxh3}) {
    std::vector<std::byte> whole = mixed_bytes(1000);
    whole.resize(whole.size() + 200'001);
    const auto tail = mixed_bytes(333);
    whole.insert(whole.end(), tail.begin(), tail.end());

    Digest digest(algorithm);
    digest.update(std::span(whole).first(1));
    digest.update({});
    digest.update(std::span(whole).first(1000).subspan(1));
    digest.update_zeros(0);
    digest.update_zeros(200'001);
    digest.update(tail);
    EXPECT_EQ(digest.hex(), digest_of(algorithm, whole)) << digest_name(algorithm);
  }
}

TEST(Digest, HexMayBeAskedForOnTheWay) {
  for (const auto algorithm : {DigestAlgorithm::sha256, DigestAlgorithm::xxh3}) {
    Digest digest(algorithm);
    digest.update(bytes_of("ab"));
    EXPECT_EQ(digest.hex(), digest_of(algorithm, bytes_of("ab")));
    digest.update(bytes_of("c"));
    EXPECT_EQ(digest.hex(), digest_of(algorithm, bytes_of("abc")));
    EXPECT_EQ(digest.hex().size(), digest_hex_digits(algorithm));
  }
}

TEST(Digest, NamesRoundTripAndOthersAreUnknown) {
  for (const auto algorithm :
       {DigestAlgorithm::sha256, DigestAlgorithm::xxh3, DigestAlgorithm::sha512,
        DigestAlgorithm::sha384, DigestAlgorithm::sha224, DigestAlgorithm::sha1,
        DigestAlgorithm::md5}) {
    EXPECT_EQ(Digest(algorithm).hex().size(), digest_hex_digits(algorithm));
    EXPECT_EQ(parse_digest_name(digest_name(algorithm)), algorithm);
  }
  for (const auto* name : {"", "SHA256", "crc32", "sha256 ", "xxh"}) {
    EXPECT_FALSE(parse_digest_name(name).has_value()) << name;
  }
}

// Every code path of XXH3 (short, middle, long, several blocks), at odd alignments too.
TEST(Xxh3, AllEnginesAgreeOnEveryLength) {
  const auto bytes = mixed_bytes(20'000);
  for (std::size_t size = 0; size + 3 < bytes.size(); size += 1 + size / 20) {
    const auto part = std::span(bytes).subspan(size % 4, size);
    const auto value = xxh3_baseline.hash(part.data(), part.size());
    EXPECT_EQ(xxh3(part), value) << size;
    EXPECT_EQ(digest_of(DigestAlgorithm::xxh3, part), fmt::format("{:016x}", value)) << size;
  }
}

}  // namespace
}  // namespace io

#include "formats/images/archives/ova/digest_check.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "formats/bytes/checksum.hpp"
#include "io/error.hpp"

namespace formats::ova {
namespace {

void compare(const FileDigest& wanted, const std::string& computed, const std::string& path) {
  if (checksum_fits(wanted.hex, computed)) return;
  throw io::Error(
      io::ErrorKind::format, path,
      fmt::format("the manifest says that {} has the {} {}, but it is {}: it is damaged, or was "
                  "changed",
                  wanted.file, io::digest_name(wanted.algorithm), wanted.hex, computed));
}

class DigestCheck final : public archives::ContentCheck {
 public:
  DigestCheck(FileDigest wanted, std::string path)
      : wanted_(std::move(wanted)), path_(std::move(path)), digest_(wanted_.algorithm) {}

  void update(std::span<const std::byte> bytes) override { digest_.update(bytes); }
  void finish() override { compare(wanted_, digest_.hex(), path_); }

 private:
  FileDigest wanted_;
  std::string path_;
  io::Digest digest_;
};

// All that a manifest may ask for.
class LateDigestCheck final : public archives::ContentCheck {
 public:
  LateDigestCheck(const std::vector<FileDigest>& manifest, std::string file, std::string path)
      : manifest_(manifest), file_(std::move(file)), path_(std::move(path)) {}

  void update(std::span<const std::byte> bytes) override {
    for (auto& [algorithm, digest] : digests_) digest.update(bytes);
  }

  void finish() override {
    for (const FileDigest& wanted : manifest_) {
      if (wanted.file != file_) continue;
      for (const auto& [algorithm, digest] : digests_) {
        if (algorithm == wanted.algorithm) compare(wanted, digest.hex(), path_);
      }
    }
  }

 private:
  static std::pair<io::DigestAlgorithm, io::Digest> begin(io::DigestAlgorithm algorithm) {
    return {algorithm, io::Digest(algorithm)};
  }

  const std::vector<FileDigest>& manifest_;
  std::string file_;
  std::string path_;
  std::array<std::pair<io::DigestAlgorithm, io::Digest>, 3> digests_ = {
      begin(io::DigestAlgorithm::sha1), begin(io::DigestAlgorithm::sha256),
      begin(io::DigestAlgorithm::sha512)};
};

}  // namespace

std::unique_ptr<archives::ContentCheck> make_digest_check(const std::vector<FileDigest>& manifest,
                                                          const std::string& file,
                                                          const std::string& path) {
  const auto found = std::find_if(manifest.begin(), manifest.end(),
                                  [&](const FileDigest& one) { return one.file == file; });
  if (found == manifest.end()) return nullptr;
  return std::make_unique<DigestCheck>(*found, path);
}

std::unique_ptr<archives::ContentCheck> make_late_digest_check(
    const std::vector<FileDigest>& manifest, const std::string& file, const std::string& path) {
  return std::make_unique<LateDigestCheck>(manifest, file, path);
}

}  // namespace formats::ova

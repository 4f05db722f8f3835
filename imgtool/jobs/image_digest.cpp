#include "imgtool/jobs/image_digest.hpp"

#include <algorithm>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>

#include "io/content_digest.hpp"
#include "io/error.hpp"
#include "io/file_source.hpp"

namespace imgtool {
namespace {

constexpr std::uint64_t largest_sums_file = 4 * io::MiB;
constexpr std::size_t sha256_digits = 64;

bool is_sha256(std::string_view word) {
  return word.size() == sha256_digits &&
         word.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

std::string text_of(const std::string& path) {
  const io::File file(path, O_RDONLY);
  if (file.size() > largest_sums_file) return "";
  std::string text(file.size(), '\0');
  text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

// The digest in a line "HEX  NAME", "HEX *NAME", or "HEX" alone where `lone` allows that.
std::optional<std::string> digest_in(std::string_view line, const std::string& name, bool lone) {
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.remove_suffix(1);
  const std::string_view hex = line.substr(0, std::min(sha256_digits, line.size()));
  if (!is_sha256(hex)) return std::nullopt;
  std::string_view rest = line.substr(hex.size());
  if (rest.empty()) return lone ? std::optional(std::string(hex)) : std::nullopt;
  if (rest.size() < 3 || rest[0] != ' ' || (rest[1] != ' ' && rest[1] != '*')) return std::nullopt;
  rest.remove_prefix(2);
  if (rest.starts_with("./")) rest.remove_prefix(2);
  return rest == name ? std::optional(std::string(hex)) : std::nullopt;
}

std::optional<std::string> digest_in_file(const std::string& sums, const std::string& name,
                                          bool lone) {
  const std::string text = text_of(sums);
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const auto line = std::string_view(text).substr(begin, end - begin);
    if (auto found = digest_in(line, name, lone)) return found;
    begin = end + 1;
  }
  return std::nullopt;
}

}  // namespace

WantedDigest find_digest_beside(const std::string& image) {
  const std::filesystem::path path(image);
  const std::string name = path.filename().string();
  const auto beside = [&](const std::string& file) { return path.parent_path() / file; };
  struct Candidate {
    std::filesystem::path sums;
    bool lone;  // may hold nothing but the digest
  };
  const std::vector<Candidate> candidates = {{beside(name + ".sha256"), true},
                                             {beside(name + ".sha256sum"), true},
                                             {beside("SHA256SUMS"), false},
                                             {beside("sha256sum.txt"), false}};
  // The image's own name, then that of the disk inside: golden.img for golden.img.xz.
  for (const bool of_file : {true, false}) {
    const std::string wanted = of_file ? name : path.stem().string();
    for (const Candidate& candidate : candidates) {
      if (!std::filesystem::exists(candidate.sums)) continue;
      const bool lone = candidate.lone && of_file;
      const auto hex = digest_in_file(candidate.sums.string(), wanted, lone);
      if (!hex) continue;
      return {parse_digest("sha256:" + *hex), of_file, candidate.sums.string()};
    }
  }
  throw io::Error::refusal(
      image,
      fmt::format("--digest auto finds no sum of it beside it, in {}.sha256 or SHA256SUMS", name));
}

std::string digest_of_file(io::Ring& ring, const std::string& path, io::DigestAlgorithm algorithm,
                           const io::CopyOptions& options, io::CopyObserver& observer,
                           const io::StopFlag& stop) {
  io::File file(path, O_RDONLY);
  const std::uint64_t size = file.size();
  io::FileSource source(ring, file, size, false);
  io::WorkerPool worker(1);
  io::ContentDigest digest(ring, worker, algorithm);
  std::vector<io::CopyTarget> none;
  io::Copier reader(ring, source, none, options, observer, stop);
  reader.hash_content(&digest);
  reader.run({io::ByteRange{0, size}});
  io::throw_if_stopped(stop, path);
  return digest.hex();
}

}  // namespace imgtool

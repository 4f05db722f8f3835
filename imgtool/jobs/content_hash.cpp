#include "imgtool/jobs/content_hash.hpp"

#include <vector>

#include <unistd.h>

#include "imgtool/terminal/escape.hpp"
#include "io/task_group.hpp"

namespace imgtool {
namespace {

std::vector<std::pair<std::string, io::DigestAlgorithm>> digest_names() {
  return {{"sha256", io::DigestAlgorithm::sha256}, {"xxh3", io::DigestAlgorithm::xxh3}};
}

}  // namespace

ContentHash hash_content(io::Ring& ring, io::Source& source, io::DigestAlgorithm algorithm,
                         const io::CopyOptions& options, io::CopyObserver& observer,
                         const io::StopFlag& stop) {
  io::WorkerPool worker(1);
  io::ContentDigest digest(ring, worker, algorithm);
  const std::uint64_t size =
      io::read_whole(ring, source, options, observer, stop, {.digest = &digest});
  return {digest.hex(), size};
}

std::string digest_of_disk(io::Ring& ring, io::ContentDigest& digest, std::uint64_t content_size,
                           std::uint64_t disk_size) {
  const io::ByteRange rest = io::range_between(content_size, disk_size);
  if (!rest.empty()) io::run_task(ring, digest.update_zeros(rest));
  return digest.hex();
}

std::string digest_line(const std::string& hex, const std::string& name) {
  std::string escaped;
  for (const char letter : name) {
    if (letter == '\\') {
      escaped += "\\\\";
    } else if (letter == '\n') {
      escaped += "\\n";
    } else if (letter == '\r') {
      escaped += "\\r";
    } else {
      escaped += letter;
    }
  }
  return (escaped == name ? "" : "\\") + hex + "  " + escaped + "\n";
}

std::string digest_to_print(const std::string& hex, const std::string& name) {
  std::string line = digest_line(hex, name);
  if (::isatty(STDOUT_FILENO) == 0) return line;
  line.pop_back();
  return terminal_text(line) + "\n";
}

OptionValue digest_algorithm_into(io::DigestAlgorithm& algorithm) {
  return choice_into(algorithm, digest_names());
}

OptionValue digest_algorithm_into(std::optional<io::DigestAlgorithm>& algorithm) {
  return choice_into(algorithm, digest_names());
}

}  // namespace imgtool

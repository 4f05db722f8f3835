#include "imgtool/content_hash.hpp"

#include <vector>

#include "imgtool/job.hpp"
#include "imgtool/signals.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace imgtool {

ContentHash hash_content(io::Ring& ring, io::Source& source, io::DigestAlgorithm algorithm,
                         const io::CopyOptions& options, io::CopyObserver& observer) {
  io::WorkerPool worker(1);
  io::ContentDigest digest(ring, worker, algorithm);
  std::vector<io::CopyTarget> nobody;
  io::Copier reader(ring, source, nobody, options, observer, stop_flag());
  reader.hash_content(&digest);
  reader.run({io::ByteRange{0, source.size().value_or(stream_limit)}});
  if (stop_flag().load() != 0) {
    throw io::Error(io::ErrorKind::cancelled, source.name(), "stopped");
  }
  return {digest.hex(), source.seekable() ? source.size().value_or(0) : reader.stream_end()};
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

OptionValue digest_algorithm_into(io::DigestAlgorithm& algorithm) {
  return choice_into(
      algorithm, {{"sha256", io::DigestAlgorithm::sha256}, {"xxh3", io::DigestAlgorithm::xxh3}});
}

OptionValue digest_algorithm_into(std::optional<io::DigestAlgorithm>& algorithm) {
  OptionValue value;
  value.placeholder = "sha256|xxh3";
  value.set = [&algorithm](const std::string& word) {
    algorithm = static_cast<io::DigestAlgorithm>(parse_choice(word, {"sha256", "xxh3"}));
  };
  return value;
}

}  // namespace imgtool

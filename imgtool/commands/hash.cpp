// imgtool hash IMAGE
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "imgtool/command.hpp"
#include "imgtool/content_hash.hpp"
#include "imgtool/image_source.hpp"
#include "imgtool/job.hpp"
#include "imgtool/report.hpp"
#include "imgtool/signals.hpp"

namespace imgtool {

int run_hash(const Arguments& arguments) {
  std::string path;
  io::DigestAlgorithm algorithm = io::DigestAlgorithm::sha256;
  TuningOptions tuning;
  JobOptions job;
  CommandLine line("hash",
                   "Prints the digest of a disk's content, holes read as zeros, in the form that "
                   "sha256sum -c reads.");
  line.argument("IMAGE", path, "image or disk to read; - is standard input");
  line.option("algorithm", digest_algorithm_into(algorithm), "which digest");
  add_tuning_options(line, tuning);
  line.job_options(job);
  line.example("imgtool hash golden.img", "the sha256 of an image");
  line.example("imgtool hash --algorithm xxh3 /dev/sdb", "a fast digest of a disk");
  if (const auto exit = line.parse(arguments)) return *exit;

  const auto ring = make_ring(job, 32);
  ImageSource image(*ring, path, stop_flag(), true);
  Progress progress({path}, job);
  const auto options = choose_copy_options(tuning, image.source().size(), {});
  const ContentHash hash = hash_content(*ring, image.source(), algorithm, options, progress);
  image.check_unchanged();
  progress.finish();
  if (line.common().json) {
    print_json({{"image", path},
                {"size", hash.size},
                {"algorithm", io::digest_name(algorithm)},
                {"digest", hash.hex}});
  } else {
    print(digest_line(hash.hex, path));
  }
  return 0;
}

}  // namespace imgtool

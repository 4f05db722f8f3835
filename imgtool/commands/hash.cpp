// imgtool hash IMAGE
#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"

namespace imgtool {

int run_hash(const Arguments& arguments) {
  std::string path;
  io::DigestAlgorithm algorithm = io::DigestAlgorithm::sha256;
  formats::OpenOptions opening;
  opening.page_cache = formats::PageCache::bypassed;
  TuningOptions tuning;
  JobOptions job;
  CommandLine line("hash",
                   "Prints the digest of a disk's content, whatever format the image has, holes "
                   "read as zeros, in the form that sha256sum -c reads.");
  line.argument("IMAGE", path, "image or disk to read; - is standard input");
  line.option("algorithm", digest_algorithm_into(algorithm), "which digest");
  image_options(line, opening);
  add_tuning_options(line, tuning);
  line.job_options(job);
  line.example("imgtool hash golden.img", "the sha256 of an image");
  line.exit_code(exit_code::differs, "the image was changed while it was read");
  line.example("imgtool hash golden.img.xz", "the same of what is compressed in a file");
  line.example("imgtool hash --algorithm xxh3 /dev/sdb", "a fast digest of a disk");
  if (const auto exit = line.parse(arguments)) return *exit;

  const auto ring = make_ring(job, std::max(32U, tuning.depth.value_or(0)));
  ImageSource image(*ring, path, opening, stop_flag());
  Progress progress({path}, job);
  const auto options = choose_copy_options(tuning, image.source().size(), {}, image.cluster_size());
  const ContentHash hash =
      hash_content(*ring, image.source(), algorithm, options, progress, stop_flag());
  image.check_unchanged();
  progress.finish();
  if (line.common().json) {
    print_json({{"image", path},
                {"size", hash.size},
                {"algorithm", io::digest_name(algorithm)},
                {"digest", hash.hex}});
  } else {
    print(digest_to_print(hash.hex, path));
  }
  return 0;
}

}  // namespace imgtool

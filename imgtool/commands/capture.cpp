// imgtool capture DEVICE OUT
#include <chrono>

#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/capture_job.hpp"
#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/reports/capture_report.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

struct CaptureCommandOptions {
  CaptureOptions capture;
  TuningOptions tuning;
  JobOptions job;
};

void describe(CommandLine& line, CaptureCommandOptions& o) {
  CaptureOptions& capture = o.capture;
  capture.target.mode = 0600;  // what a disk holds is its owner's
  line.argument("DEVICE", capture.device, "disk to read; never written to");
  line.argument("OUT", capture.output,
                "image to make, which only its owner can read; - is standard output");
  line.option("length", size_into(capture.length), "only so many bytes from the start");
  line.option("to-last-partition", flag_into(capture.to_last_partition),
              "only up to the end of the last partition; a GPT's backup is put behind it. Refused "
              "when the first MiB behind it or the last 4 MiB of the disk hold something else");
  line.option("force-cut", flag_into(capture.force_cut),
              "with --to-last-partition: whatever lies behind it");
  line.option("used", flag_into(capture.used),
              "leave out what no file system on the disk uses: it is not read, and is zeros in the "
              "image. What is damaged, in use, encrypted or unknown is kept whole, and listed");
  trust_maps_option(line, capture.trust_maps);
  drop_swap_option(line, capture.drop_swap);
  line.option("rescue", flag_into(capture.rescue),
              "where the disk cannot be read, try sector by sector, put zeros for what is lost, "
              "and list it");
  force_share_option(line, capture.force_share);
  line.option("mapfile", text_into(capture.mapfile, "FILE"),
              "note here what is done and what is lost, as ddrescue does, for --resume");
  line.option("resume", flag_into(capture.target.resume),
              "go on where --mapfile says the last run stopped");
  line.option("digest", digest_algorithm_into(capture.digest),
              "print this digest of the image's content, computed on the way");
  line.option("bmap-out", text_into(capture.bmap, "FILE"),
              "write the image's block map here: what is not zeros, with checksums, for burn and "
              "for bmaptool copy");
  new_image_options(line, capture.target);
  line.option("threads", threads_into(capture.threads), "threads for compressing");
  add_tuning_options(line, o.tuning);
  line.force_option(capture.target.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "OUT exists, the mapfile belongs to something else, or the end of the last "
                 "partition is unknown");
  line.exit_code(exit_code::partly, "done, but --rescue had to leave out unreadable sectors");
  line.example("imgtool capture /dev/sdb disk.img", "a sparse image of a disk");
  line.example("imgtool capture --used /dev/sdb disk.img",
               "the same without deleted files and other free space");
  line.example("imgtool capture --to-last-partition /dev/sdb golden.img",
               "an image for disks that are smaller, too");
  line.example("imgtool capture -c --codec zstd /dev/sdb disk.qcow2",
               "straight into a compressed qcow2 image");
  line.example("imgtool capture --rescue --mapfile disk.map /dev/sdb disk.img",
               "what can be saved of a failing disk");
  line.example("imgtool capture /dev/sdb - | ssh nas 'cat > disk.img'", "through a pipe");
}

void check(const CaptureOptions& capture, bool json) {
  const bool to_pipe = capture.output == "-";
  if (capture.length && capture.to_last_partition) {
    throw UsageError("capture: --length and --to-last-partition both say where to end");
  }
  if (capture.force_cut && !capture.to_last_partition) {
    throw UsageError("capture: --force-cut needs --to-last-partition");
  }
  if (capture.trust_maps && !capture.used) {
    throw UsageError("capture: --trust-maps needs --used");
  }
  if (capture.drop_swap && !capture.used) {
    throw UsageError("capture: --drop-swap needs --used");
  }
  if (capture.target.resume && !capture.mapfile) {
    throw UsageError("capture: --resume needs --mapfile FILE");
  }
  if (to_pipe && capture.mapfile) {
    throw UsageError("capture: --mapfile needs a file to go on with, not -");
  }
  if (to_pipe && json) {
    throw UsageError("capture: --json and the image (-) both want standard output");
  }
}

}  // namespace

int run_capture(const Arguments& arguments) {
  CaptureCommandOptions o;
  CommandLine line("capture",
                   "Reads a disk into an image file. Zeros become holes; the file gets its name "
                   "when it is complete and on the disk.");
  describe(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  check(o.capture, line.common().json);

  const auto ring = make_ring(o.job, 64);
  CaptureJob job(*ring, o.capture, o.tuning, stop_flag());
  Progress progress({o.capture.device}, o.job);
  if (const auto warning = job.warning(); !warning.empty()) progress.say(warning);
  if (!job.cut_short().empty()) progress.say(job.cut_short());
  if (!job.space_warning().empty()) progress.say(job.space_warning());
  const auto begin = std::chrono::steady_clock::now();
  try {
    job.run(progress);
  } catch (const io::Error&) {
    progress.finish();
    if (const auto advice = job.advice(); !advice.empty()) complain(advice);
    throw;
  }
  progress.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return report_capture(job, o.capture, seconds.count(), line.common().json);
}

}  // namespace imgtool

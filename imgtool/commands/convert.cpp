// imgtool convert SRC DST, imgtool compress SRC DST
#include <bit>
#include <chrono>

#include <fmt/format.h>

#include "imgtool/cli/confirm.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/content_hash.hpp"
#include "imgtool/jobs/convert_job.hpp"
#include "imgtool/reports/convert_report.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

struct ConvertCommandOptions {
  ConvertOptions convert;
  JobOptions job;
  bool yes = false;
};

OptionValue hole_size_into(std::optional<std::uint64_t>& variable) {
  OptionValue value = size_into(variable);
  value.default_text = "4K";
  value.set = [&variable](const std::string& word) {
    const std::uint64_t size = parse_size(word);
    if (size != 0 && (!std::has_single_bit(size) || size < 512 || size > io::GiB)) {
      throw UsageError("has to be 0 or a power of two from 512 to 1G");
    }
    variable = size;
  };
  return value;
}

void describe(CommandLine& line, ConvertCommandOptions& o) {
  ConvertOptions& convert = o.convert;
  line.argument("SRC", convert.source,
                "image or disk to read; never written to; - is standard input");
  line.argument("DST", convert.output, "image to make, or disk to overwrite; - is standard output");
  image_options(line, convert.open);
  convert.target.takes_backing = true;
  convert.target.takes_size = true;
  new_image_options(line, convert.target);
  backing_options(line, convert.target);
  line.option("sparse-size,S", hole_size_into(convert.target.smallest_hole),
              "raw: shorter runs of zeros are written; 0 makes no holes at all");
  line.option("existing,n", flag_into(convert.target.existing),
              "write into DST, which is there already, in place");
  line.option("target-is-zero", flag_into(convert.target.target_is_zero),
              "with -n: DST reads as zeros all over, so zeros are not written");
  line.option("yes", flag_into(o.yes), "do not ask before a disk is overwritten");
  line.option(
      "drop-free", flag_into(convert.drop_free),
      "leave out what no file system in SRC uses: it is not read, and is zeros in DST. What "
      "is damaged, in use, encrypted or unknown is kept whole, and listed");
  trust_maps_option(line, convert.trust_maps);
  drop_swap_option(line, convert.drop_swap);
  line.option("salvage", flag_into(convert.salvage),
              "go on past what is damaged or cannot be read: it is listed, and zeros in DST");
  line.option("skip", size_into(convert.skip), "leave out so much of the disk's beginning");
  line.option("count", size_into(convert.count), "take so much of it, or what there is");
  line.option("digest", digest_algorithm_into(convert.digest),
              "print this digest of the disk's content, computed on the way");
  line.option(
      "bmap-out", text_into(convert.bmap, "FILE"),
      "write the disk's block map here: what is not zeros, with checksums, for burn and for "
      "bmaptool copy");
  line.option("threads", threads_into(convert.threads),
              "threads for compressing, and as many for decompressing");
  line.option("rate", size_into(convert.rate), "at most so many bytes a second; 0 is no limit");
  target_cache_option(line);
  source_cache_option(line);
  parallelism_options(line);
  line.force_option(convert.target.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "DST exists, is in use, too small or not confirmed; or SRC names other files");
  line.exit_code(exit_code::partly, "done, but --salvage had to leave out what is damaged");
  line.exit_code(exit_code::differs, "SRC was changed while it was read");
}

void ask(const ConvertJob& job, bool yes) {
  const auto disks = job.disks();
  if (disks.empty()) return;
  ConfirmOptions options;
  options.yes = yes;
  confirm("everything on this disk will be overwritten:", disks, options);
}

std::string counted(std::uint32_t count, const char* what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

std::string note_of(const LeftBehind& left) {
  std::vector<std::string> kinds;
  if (left.bitmaps > 0) kinds.push_back(counted(left.bitmaps, "bitmap"));
  if (left.snapshots > 0) kinds.push_back(counted(left.snapshots, "snapshot"));
  if (kinds.empty()) return "";
  return fmt::format("note: the {} of the source are not in the new image", join(kinds, " and "));
}

int run(CommandLine& line, ConvertCommandOptions& o) {
  if (o.convert.trust_maps && !o.convert.drop_free) {
    throw UsageError("--trust-maps needs --drop-free");
  }
  if (o.convert.drop_swap && !o.convert.drop_free) {
    throw UsageError("--drop-swap needs --drop-free");
  }
  const bool json = line.common().json;
  if (o.convert.output == "-" && json) {
    throw UsageError("--json and the image (-) both want standard output");
  }
  const auto ring = make_ring(o.job, 64);
  ConvertJob job(*ring, o.convert, stop_flag());
  ask(job, o.yes);
  const std::string warning = job.check_space();
  Progress progress({o.convert.output}, o.job);
  if (!warning.empty()) progress.say(warning);
  for (const std::string& note : job.output().plan().notes) progress.say(note);
  if (const auto note = note_of(job.left_behind()); !note.empty()) progress.say(note);
  if (!job.size_note().empty()) progress.say(job.size_note());
  const std::string cut_short = job.cut_short();
  if (!cut_short.empty()) progress.say(cut_short);
  const auto begin = std::chrono::steady_clock::now();
  job.run(progress);
  if (job.cut_short() != cut_short) progress.say(job.cut_short());
  progress.finish();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return report_conversion(job, seconds.count(), json);
}

}  // namespace

int run_convert(const Arguments& arguments) {
  ConvertCommandOptions o;
  CommandLine line("convert",
                   "Makes an image of another format, or with other options, in one pass. Zeros "
                   "take no space; the file gets its name when it is complete and on the disk.");
  describe(line, o);
  line.example("imgtool convert golden.img golden.qcow2", "raw to qcow2");
  line.example("imgtool convert -c --codec zstd golden.img golden.qcow2", "... compressed");
  line.example("imgtool convert golden.img golden.vmdk", "for VMware: a stream of packed grains");
  line.example("imgtool convert -o subformat=fixed,align=1M golden.img golden.vhd",
               "for Azure: a fixed VHD of whole MiB");
  line.example("imgtool convert -O qcow2 -B base.qcow2 vm.qcow2 thin.qcow2",
               "only what differs from base.qcow2");
  if (const auto exit = line.parse(arguments)) return *exit;
  return run(line, o);
}

int run_compress(const Arguments& arguments) {
  ConvertCommandOptions o;
  CommandLine line("compress",
                   "Makes a compressed image: convert -c, whose format is qcow2 unless the "
                   "suffix of DST or -O say otherwise.");
  describe(line, o);
  line.example("imgtool compress golden.img golden.qcow2", "a compressed qcow2 image");
  line.example("imgtool compress --codec zstd --level 19 golden.img golden.qcow2",
               "... as small as it gets");
  line.example("imgtool compress golden.img golden.img.zst",
               "zstd -d reads it, and imgtool reads it at any place");
  line.example("imgtool compress --drop-free golden.img golden.qcow2",
               "the same without deleted files and other free space");
  if (const auto exit = line.parse(arguments)) return *exit;
  o.convert.target.compress = true;
  o.convert.target.default_format = formats::Format::qcow2;
  return run(line, o);
}

}  // namespace imgtool

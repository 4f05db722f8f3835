// imgtool burn IMAGE TARGET...
#include <algorithm>
#include <chrono>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/bmap/source.hpp"
#include "imgtool/cli/confirm.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/block_map.hpp"
#include "imgtool/jobs/burn_job.hpp"
#include "imgtool/jobs/device_words.hpp"
#include "imgtool/jobs/disk_survey.hpp"
#include "imgtool/jobs/image_digest.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/journal_file.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/reports/burn_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/skip_holes.hpp"

namespace imgtool {
namespace {

struct BurnOptions {
  std::string image;
  std::vector<std::string> targets;
  formats::OpenOptions opening;
  bool yes = false;
  VerifyMode verify = VerifyMode::full;
  std::string digest;  // ALGORITHM:HEX, auto, or nothing
  std::optional<std::string> mapfile;
  bool resume = false;
  bool skip_holes = false;
  std::string bmap = "auto";
  PartitionTableOptions table;
  BurnTargetOptions target;
  TuningOptions tuning;
  JobOptions job;
};

OptionValue digest_or_auto_into(std::string& variable) {
  return {.placeholder = "ALGORITHM:HEX|auto", .set = [&variable](const std::string& word) {
            if (word != "auto") (void)parse_digest(word);
            variable = word;
          }};
}

void describe(CommandLine& line, BurnOptions& o) {
  line.argument("IMAGE", o.image, "image to write, of any format; - is standard input");
  line.arguments("TARGET", o.targets, "disk to write to, or a file (made when absent)");
  image_options(line, o.opening);
  line.option("yes", flag_into(o.yes), "do not ask before disks are overwritten");
  line.option("verify",
              choice_into(o.verify, {{"full", VerifyMode::full},
                                     {"sample", VerifyMode::sample},
                                     {"none", VerifyMode::none}}),
              "read back all of it, a sixteenth and both ends, or nothing");
  line.option("expect-serial", texts_into(o.target.expected_serials, "SERIAL"),
              "refuse a target with another serial number; once for each target");
  line.option("digest", digest_or_auto_into(o.digest),
              "what the image must be: its file, or its content, checked before the first MiB is "
              "written; auto is the sum beside it (IMAGE.sha256, SHA256SUMS)");
  line.option("mapfile", text_into(o.mapfile, "FILE"),
              "note here what is done, as ddrescue does, for --resume");
  line.option("resume", flag_into(o.resume), "go on where --mapfile says the last run stopped");
  line.option(
      "bmap", text_into(o.bmap, "FILE|auto|none"),
      "the image's block map: its checksums are checked, and what it does not map is zeros; "
      "auto is the one beside the image (image.bmap, image.img.bmap)");
  line.option("skip-holes", flag_into(o.skip_holes),
              "behind the first MiB, leave what the target has where the image has holes, or its "
              "block map maps nothing");
  line.option("discard",
              choice_into(o.target.discard, {{"auto", Discard::automatic},
                                             {"always", Discard::always},
                                             {"never", Discard::never}}),
              "zeros give space back to the disk, the whole disk does first, or none does");
  line.option("relocate-gpt",
              choice_into(o.table.relocate, {{"auto", RelocateGpt::automatic},
                                             {"always", RelocateGpt::always},
                                             {"never", RelocateGpt::never}}),
              "on a disk of another size than the image, move the backup GPT to its end: unless "
              "the image is an ISO, in any case, or not at all");
  line.option("grow-last", flag_into(o.table.grow_last),
              "extend the last partition to the end of the disk (not the file system in it)");
  line.option("force-partition", flag_into(o.table.any_place),
              "burn a whole disk's image to a partition, or a partition's to a whole disk");
  line.option("allow-truncated", flag_into(o.table.allow_truncated),
              "burn an image that ends before its partitions do, with zeros for what is missing");
  line.option("direct",
              choice_into(o.target.direct,
                          {{"auto", Direct::automatic}, {"on", Direct::on}, {"off", Direct::off}}),
              "write past the page cache where possible, or fail, or through it");
  add_tuning_options(line, o.tuning);
  line.force_option(o.target.overwrite_files);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "a target is in use, too small, not the expected one, or not confirmed, or the "
                 "image needs --follow-references");
  line.exit_code(exit_code::differs, "a target or the image's digest is not what it must be");
  line.exit_code(exit_code::partly, "some targets failed, the others hold the image");
  line.example("imgtool burn golden.img /dev/sdb", "write one disk, and verify it");
  line.example("imgtool burn --yes golden.img /dev/sdb /dev/sdc", "two at once, from a script");
  line.example("imgtool burn --grow-last golden.img /dev/sdb",
               "a partition over the rest of a larger disk");
  line.example("imgtool burn golden.qcow2 /dev/sdb", "any format; the disk gets the content");
  line.example("imgtool burn golden.img.xz /dev/sdb", "gz, xz, bz2, zst: known by their content");
  line.example("curl -s https://host/golden.img.gz | imgtool burn --yes - /dev/sdb", "from a pipe");
}

// What dd and downloaders take, told apart from a file of that name.
void check_image_name(const BurnOptions& o) {
  if (io::exists(o.image)) return;
  if (o.image.starts_with("if=") || o.image.starts_with("of=")) {
    throw UsageError("burn: the words of dd are not known here; imgtool burn IMAGE TARGET");
  }
  if (o.image.starts_with("http://") || o.image.starts_with("https://")) {
    throw UsageError(fmt::format("burn: an address cannot be read; curl -fL {} | imgtool burn - {}",
                                 o.image, o.targets.front()));
  }
}

void check(const BurnOptions& o) {
  check_image_name(o);
  if (o.digest == "auto" && o.image == "-") {
    throw UsageError("burn: --digest auto needs an image with a name, not -");
  }
  if (o.resume && !o.mapfile) throw UsageError("burn: --resume needs --mapfile FILE");
  if (o.table.grow_last && o.table.relocate == RelocateGpt::never) {
    throw UsageError("burn: --grow-last has to change what --relocate-gpt=never leaves alone");
  }
  if (o.mapfile && o.targets.size() > 1) {
    throw UsageError("burn: --mapfile goes with one TARGET");
  }
  if (o.mapfile && o.image == "-") {
    throw UsageError("burn: --mapfile needs an image that can be read again, not -");
  }
}

// Two spellings of one disk, or of one file to be made.
bool same_place(const std::string& a, const std::string& b) {
  std::error_code error;
  if (std::filesystem::equivalent(a, b, error)) return true;
  if (io::exists(a) && io::exists(b)) {
    const io::FileIdentity identity = io::status_of(a).identity;
    return identity == io::status_of(b).identity;
  }
  return spelled_out(a) == spelled_out(b);
}

void refuse_doubles(const std::vector<std::string>& paths) {
  for (std::size_t index = 0; index < paths.size(); ++index) {
    for (std::size_t other = 0; other < index; ++other) {
      if (!same_place(paths[index], paths[other])) continue;
      throw UsageError(fmt::format("burn: {} and {} are the same target, given twice", paths[other],
                                   paths[index]));
    }
  }
}

// What stands between the image and what is written; null: nothing. A stream is checked against
// its block map on the way.
std::unique_ptr<io::Source> choose_filter(io::Ring& ring, io::Source& image,
                                          const std::optional<BlockMap>& map, bool skip_holes) {
  using formats::bmap::Unmapped;
  if (map) {
    auto source = std::make_unique<formats::bmap::BmapSource>(
        ring, image, map->map, map->path, skip_holes ? Unmapped::skipped : Unmapped::zeros,
        !image.seekable());
    if (!map->named) source->refuse_data_outside();
    return source;
  }
  if (skip_holes) return std::make_unique<io::SkipHoles>(image);
  return nullptr;
}

std::vector<std::unique_ptr<BurnTarget>> open_targets(const BurnOptions& o,
                                                      const ImageSource& image,
                                                      const io::DeviceUsage& usage,
                                                      std::optional<std::uint64_t> size,
                                                      std::optional<std::uint64_t> least_size) {
  BurnTargetOptions options = o.target;
  options.image_size = size;
  options.least_size = least_size;
  options.resume = o.resume;
  std::vector<std::unique_ptr<BurnTarget>> targets;
  targets.reserve(o.targets.size());
  for (const std::string& path : o.targets) {
    for (const auto& other : targets) {
      if (!usage.stack().share_storage(path, other->path())) continue;
      throw UsageError(fmt::format("burn: what is written to {} would be written to {}, too",
                                   other->path(), path));
    }
    targets.push_back(std::make_unique<BurnTarget>(path, image.paths(), usage, options));
  }
  return targets;
}

// What the image is, what each disk is and holds, and why they may not belong together; the latter
// goes into `facts_for_report`. Returns once the user agreed.
void ask(const BurnOptions& o, io::Ring& ring, io::Source& image,
         const std::vector<std::unique_ptr<BurnTarget>>& targets, BurnFacts& facts_for_report) {
  const DiskSurvey content = survey(ring, image, true);
  facts_for_report.content = content.words;
  facts_for_report.misplaced.resize(targets.size());
  const std::string name = o.image == "-" ? "standard input" : o.image;
  std::vector<std::string> facts = {fmt::format(
      "image: {} ({}{})", name, image.size() ? human_size(*image.size()) : "size unknown",
      content.words.empty() ? "" : ", " + content.words)};
  std::size_t disks = 0;
  for (std::size_t index = 0; index < targets.size(); ++index) {
    const auto& target = targets[index];
    if (!target->device()) continue;
    ++disks;
    facts.push_back(
        fmt::format("disk: {}; now {}", target->description(), target->survey_content(ring).words));
    const std::string reason = misplaced(content, *target->device());
    facts_for_report.misplaced[index] = reason;
    if (reason.empty() || o.table.any_place) continue;
    if (o.yes) {
      throw io::Error::refusal(target->path(), reason + " (--force-partition burns it)");
    }
    facts.push_back("CAREFUL: " + reason);
  }
  if (disks == 0) return;
  confirm(disks == 1 ? "everything on this disk will be overwritten:"
                     : "everything on these disks will be overwritten:",
          facts, {.yes = o.yes, .controlling_terminal = o.image == "-"});
}

// What --digest asks for; nothing once the file itself was found to have it. A sum that is known
// to be of the file fails here, before anything is written.
std::optional<ExpectedDigest> digest_of_content(const BurnOptions& o, io::Ring& ring,
                                                ImageSource& image, const io::CopyOptions& copy,
                                                Progress& progress, bool& file_matched) {
  if (o.digest.empty()) return std::nullopt;
  const WantedDigest wanted =
      o.digest == "auto" ? find_digest_beside(o.image) : WantedDigest{parse_digest(o.digest)};
  // For a raw image both are the same, and the copy computes it on the way.
  if (o.image == "-" || (image.is_plain() && !wanted.of_file)) return wanted.expected;
  const std::string found =
      digest_of_file(ring, o.image, wanted.expected.algorithm, copy, progress, stop_flag());
  file_matched = found == wanted.expected.hex;
  if (file_matched) return std::nullopt;
  if (!wanted.of_file) return wanted.expected;
  throw io::Error(io::ErrorKind::mismatch, o.image,
                  fmt::format("its digest is {}, {} says {}; nothing was written", found,
                              wanted.found_in, wanted.expected.hex));
}

// With what decides which of the image's bytes are written: a run that goes on has to choose as
// the first one did.
std::string journal_source(io::Ring& ring, ImageSource& image, const std::optional<BlockMap>& map,
                           bool skip_holes) {
  std::string text = image_identity(ring, image);
  if (map) {
    const io::File file(map->path, O_RDONLY);
    text += fmt::format(", block map {}", source_file_identity(map->path, file));
  }
  if (skip_holes) text += ", without its holes";
  return text;
}

BurnJobOptions job_options(const BurnOptions& o, ImageSource& image,
                           const std::vector<std::unique_ptr<BurnTarget>>& targets) {
  std::vector<io::QueueLimits> queues;
  queues.reserve(targets.size());
  for (const auto& target : targets) queues.push_back(target->queue());
  BurnJobOptions options;
  options.copy = choose_copy_options(o.tuning, image.source().size(), queues, image.cluster_size());
  // Among several targets the straggler detector needs all lanes to tell the slow one.
  options.copy.adapt_depth = targets.size() == 1;
  options.verify = o.verify;
  options.table = o.table;
  options.check_image = [&image] { image.check_unchanged(); };
  options.refuse_empty = !image.source().seekable();
  return options;
}

}  // namespace

int run_burn(const Arguments& arguments) {
  BurnOptions o;
  CommandLine line("burn",
                   "Writes IMAGE to each TARGET, verifies every byte on the medium, and writes "
                   "the first MiB last, so that a disk never looks complete before it is.");
  describe(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  check(o);
  refuse_doubles(o.targets);

  const unsigned requests = std::max(32U, o.tuning.depth.value_or(0));  // of one target
  const auto ring = make_ring(o.job, requests * static_cast<unsigned>(o.targets.size()));
  if (o.target.direct != Direct::off) o.opening.page_cache = formats::PageCache::used_if_warm;
  ImageSource image(*ring, o.image, o.opening, stop_flag());
  if (const auto size = image.source().size()) image.refuse_empty(*size);
  if (o.mapfile && !image.source().seekable()) {
    throw io::Error(io::ErrorKind::unsupported, o.image,
                    "can be read only from its start, so --mapfile cannot go on in it");
  }
  const PartitionTableFit tables(*ring, o.table);
  const auto map = load_block_map(o.bmap, o.image);
  const auto filter = choose_filter(*ring, image.source(), map, o.skip_holes);
  io::Source& content = filter ? *filter : image.source();
  const io::DeviceInventory inventory;
  const io::DeviceUsage usage(inventory);
  auto targets = open_targets(o, image, usage, content.size(), tables.least_disk(image.source()));
  for (const std::string& note : notes_of_doubts(inventory)) complain(terminal_text(note));
  if (image.source().seekable()) {
    for (const auto& target : targets) tables.check(image.source(), true, *target);
  }
  BurnJobOptions options = job_options(o, image, targets);
  BurnFacts facts{o.image, o.verify};
  ask(o, *ring, image.source(), targets, facts);
  std::optional<JournalFile> journal;
  if (o.mapfile) {
    auto others = image.paths();
    others.push_back(o.targets.front());
    check_output_path(*o.mapfile, others, usage);
    const JobIdentity identity{journal_source(*ring, image, map, o.skip_holes),
                               targets.front()->identity_text(), image.source().size().value_or(0)};
    journal.emplace(*o.mapfile, identity, o.resume);
  }

  Progress progress(o.targets, o.job);
  const auto begin = std::chrono::steady_clock::now();
  if (map) progress.say(fmt::format("block map: {}", map->path));
  if (const auto digest =
          digest_of_content(o, *ring, image, options.copy, progress, facts.file_matched)) {
    options.algorithm = digest->algorithm;
    options.expected_digest = digest->hex;
  }
  std::vector<BurnPlace*> places;
  places.reserve(targets.size());
  for (const auto& target : targets) places.push_back(target.get());
  BurnJob job(*ring, content, places, options, progress, stop_flag());
  if (journal) {
    job.keep_journal(0, journal->journal(), [&](io::Journal&) { journal->save(); });
  }
  try {
    if (map && image.source().seekable()) {
      check_content(*ring, image.source(), *map, options.copy, progress);
    }
    job.run();
  } catch (const io::Error& error) {
    progress.finish();
    report_stopped_burn(job, targets);
    // A wrong image is no better the second time.
    if (journal && error.kind() != io::ErrorKind::mismatch) {
      targets.front()->keep_for_resume();
      complain(journal->advice());
    }
    throw;
  }
  progress.finish();
  if (journal && job.results().front().error) {
    targets.front()->keep_for_resume();
    const bool refused = job.results().front().error->kind() == io::ErrorKind::refused;
    if (!refused) complain(journal->advice());
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  facts.seconds = seconds.count();
  return report_burn(facts, job, targets, line.common().json);
}

}  // namespace imgtool

// imgtool verify IMAGE TARGET...
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/partition_table_fit.hpp"
#include "imgtool/jobs/stream_head.hpp"
#include "imgtool/reports/range_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/error.hpp"
#include "io/file_source.hpp"
#include "io/image_lock.hpp"
#include "io/spliced_source.hpp"
#include "io/verifier.hpp"

namespace imgtool {
namespace {

constexpr std::size_t most_differences = 10000;

// One target: what to read, and what was found.
struct Comparison {
  io::File file;
  std::unique_ptr<io::Source> source;
  io::Medium medium;
  std::vector<io::ByteRange> differences{};
  bool table_fitted = false;  // nothing differs but the partition table, as burn leaves it
};

// A disk that is too small for the image may have room for its partitions: then the image's end
// is nothing that it could hold.
std::vector<Comparison> open_targets(io::Ring& ring, const std::vector<std::string>& paths,
                                     io::Source& image, std::uint64_t image_size,
                                     bool force_share) {
  const std::uint64_t least = PartitionTableFit(ring, {}).least_disk(image).value_or(image_size);
  std::vector<Comparison> targets(paths.size());
  for (std::size_t index = 0; index < paths.size(); ++index) {
    Comparison& target = targets[index];
    target.file = io::File(paths[index], O_RDONLY);
    if (!force_share) io::lock_image(target.file, io::ImageUse::reading, way_past_lock);
    const std::uint64_t size = target.file.size();
    if (size < least) {
      throw io::Error(io::ErrorKind::mismatch, paths[index],
                      fmt::format("has only {} bytes, the image {}", size, image_size));
    }
    target.source =
        std::make_unique<io::FileSource>(ring, target.file, std::min(size, image_size), true);
    if (size < image_size) {
      target.source = std::make_unique<io::SplicedSource>(std::move(target.source), size, image);
    }
    target.medium = {target.source.get(), index};
  }
  return targets;
}

// Reads a stream to its end, keeps the digests of its chunks, and gives its length.
std::uint64_t digest_stream(io::Ring& ring, io::Source& stream, io::ChunkLedger& ledger,
                            const io::CopyOptions& options, Progress& progress) {
  return io::read_whole(ring, stream, options, progress, stop_flag(), {.ledger = &ledger});
}

void compare(io::Verifier& verifier, std::vector<Comparison>& targets, std::uint64_t size) {
  std::vector<io::Medium> media;
  media.reserve(targets.size());
  for (const Comparison& target : targets) media.push_back(target.medium);
  verifier.run(media, {io::ByteRange{0, size}});
  for (std::size_t index = 0; index < targets.size(); ++index) {
    targets[index].medium = media[index];
    targets[index].differences = verifier.locate(targets[index].medium, most_differences);
  }
}

// What burn changed, for a disk of another size or to grow a partition, is no difference.
void look_at_table(io::Ring& ring, io::Source& image, Comparison& target) {
  const std::uint64_t size = target.file.size();
  if (target.medium.read_error || target.differences.empty() ||
      target.differences.size() >= most_differences) {
    return;
  }
  io::FileSource disk(ring, target.file, size, true);
  std::optional<std::uint64_t> sector;
  int bytes = 0;
  if (ioctl(target.file.fd(), BLKSSZGET, &bytes) == 0 && bytes > 0) {
    sector = static_cast<std::uint64_t>(bytes);
  }
  target.table_fitted = explained_by_table(ring, image, disk, sector, target.differences);
  if (target.table_fitted) target.differences.clear();
}

Json describe(const Comparison& target) {
  Json entry;
  entry["path"] = target.file.path();
  entry["status"] = target.medium.read_error     ? "unreadable"
                    : target.differences.empty() ? "same"
                                                 : "differs";
  entry["differences"] = ranges_json(target.differences);
  entry["table-fitted"] = target.table_fitted;
  entry["more"] = target.differences.size() >= most_differences;
  if (target.medium.read_error) entry["read-error"] = target.medium.read_error->what();
  return entry;
}

void print_text(const std::string& image, const Comparison& target, bool sampled) {
  const auto& ranges = target.differences;
  std::string text;
  if (ranges.empty()) {
    text = fmt::format("{}: {} {}\n", target.file.path(),
                       sampled ? "a sample of it is the same as" : "is the same as", image);
    if (target.table_fitted) {
      text.insert(text.size() - 1, ", but for the partition table, which fits this disk");
    }
  } else {
    text = fmt::format("{}: differs from {}\n", target.file.path(), image);
  }
  text = terminal_text(text.substr(0, text.size() - 1)) + "\n";
  for (std::size_t index = 0; index < std::min(ranges.size(), most_ranges_shown); ++index) {
    text += fmt::format("  {} bytes at offset {}\n", ranges[index].length, ranges[index].offset);
  }
  if (ranges.size() > most_ranges_shown) {
    text += fmt::format("  and {}{} more ranges (--json lists them)\n",
                        ranges.size() >= most_differences ? "at least " : "",
                        ranges.size() - most_ranges_shown);
  }
  if (target.medium.read_error) {
    text += "  " + terminal_text(target.medium.read_error->what()) + "\n";
  }
  print(text);
}

int exit_code_for(const std::vector<Comparison>& targets) {
  bool unreadable = false;
  for (const Comparison& target : targets) {
    if (!target.differences.empty() && !target.medium.read_error) return exit_code::differs;
    unreadable = unreadable || target.medium.read_error;
  }
  return unreadable ? exit_code::failed : exit_code::done;
}

}  // namespace

int run_verify(const Arguments& arguments) {
  std::string path;
  std::vector<std::string> targets;
  bool sample = false;
  formats::OpenOptions opening;
  opening.page_cache = formats::PageCache::bypassed;
  TuningOptions tuning;
  JobOptions job;
  CommandLine line("verify",
                   "Compares each TARGET, read past all caches, with IMAGE, writes nothing, and "
                   "lists every range that differs. A target is raw, whatever the format of the "
                   "image. It may be longer, and its partition table may fit it, as burn leaves "
                   "it.");
  line.argument("IMAGE", path, "what the targets must hold");
  line.arguments("TARGET", targets, "disk or file to compare with it");
  image_options(line, opening);
  line.option("sample", flag_into(sample), "read only a sixteenth, and both ends");
  add_tuning_options(line, tuning);
  line.job_options(job);
  line.exit_code(exit_code::differs,
                 "a target differs from the image, or that was changed while it was read");
  line.example("imgtool verify golden.img /dev/sdb", "is the disk what the image is?");
  line.example("imgtool verify --json golden.img /dev/sdb /dev/sdc", "two disks, for a script");
  if (const auto exit = line.parse(arguments)) return *exit;

  const auto ring = make_ring(job, 64);
  ImageSource image(*ring, path, opening, stop_flag());
  io::Source& source = image.source();
  Progress progress(targets, job);
  const auto copy = choose_copy_options(tuning, source.size(), {}, image.cluster_size());
  io::ChunkLedger ledger(copy.chunk_size);
  StreamHead head(source);
  const std::uint64_t size =
      source.seekable() ? *source.size() : digest_stream(*ring, head, ledger, copy, progress);
  image.refuse_empty(size);
  const std::string cut_short = source.seekable() ? note_of_truncation(*ring, source, path)
                                                  : head.note_of_truncation(*ring, size, path);
  if (!cut_short.empty()) complain(terminal_text(cut_short));
  auto compared = open_targets(*ring, targets, source, size, opening.force_share);

  io::VerifyOptions options;
  options.lanes = copy.lanes;
  options.bytes_per_second = copy.bytes_per_second;
  if (sample) options.sample = sample_one_in;
  io::Source* read_again = source.seekable() ? &source : nullptr;
  io::Verifier verifier(*ring, ledger, read_again, options, progress, stop_flag());
  compare(verifier, compared, size);
  if (stop_flag().load() == 0 && source.seekable()) {
    for (Comparison& target : compared) look_at_table(*ring, image.source(), target);
  }
  progress.finish();
  io::throw_if_stopped(stop_flag(), path);
  image.check_unchanged();

  Json document{{"image", path},
                {"size", size},
                {"sampled", sample},
                {"cut-short", !cut_short.empty()},
                {"targets", Json::array()}};
  for (const Comparison& target : compared) {
    if (line.common().json) {
      document["targets"].push_back(describe(target));
    } else {
      print_text(path, target, sample);
    }
  }
  if (line.common().json) print_json(document);
  return exit_code_for(compared);
}

}  // namespace imgtool

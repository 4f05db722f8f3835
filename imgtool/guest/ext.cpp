// ext2, ext3, ext4.
#include <sstream>

#include <fmt/format.h>

#include "imgtool/cli/option_value.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/trouble.hpp"
#include "io/byte_range.hpp"

namespace imgtool::guest {
namespace {

constexpr std::uint64_t least_ext_slack = 64 * io::MiB;
constexpr unsigned ext_slack_percent = 5;
constexpr unsigned most_ext_tries = 6;
constexpr unsigned most_minimal_rounds = 3;
// resize2fs -P is known to run for ever on damaged file systems.
constexpr unsigned most_ext_seconds = 1800;

struct ExtNumbers {
  std::uint64_t block_size = 0;
  std::uint64_t blocks = 0;
  std::uint64_t free_blocks = 0;
  std::string features;
  bool has_errors = false;  // its kernel or e2fsck noted some

  [[nodiscard]] bool needs_recovery() const {
    return features.find(" needs_recovery ") != std::string::npos;
  }
};

ExtNumbers read_ext(Shell& shell, const VolumePlan& volume) {
  const std::string text =
      shell.must("reading the superblock of " + title(volume),
                 fmt::format("dumpe2fs -h {} 2>/dev/null", shell_word(volume.device)));
  ExtNumbers numbers;
  numbers.block_size = number_after(text, "\nBlock size:");
  numbers.blocks = number_after(text, "\nBlock count:");
  numbers.free_blocks = number_after(text, "\nFree blocks:");
  const auto begin = text.find("Filesystem features:");
  numbers.features = text.substr(begin, text.find('\n', begin) - begin) + ' ';
  numbers.has_errors = text.find(" with errors\n") != std::string::npos;
  return numbers;
}

// Those that e2fsprogs has no name for, and keeps its hands off: "FEATURE_C15 FEATURE_I31".
std::string unknown_features(const ExtNumbers& numbers) {
  std::istringstream words(numbers.features);
  std::vector<std::string> unknown;
  for (std::string word; words >> word;) {
    if (word.starts_with("FEATURE_")) unknown.push_back(word);
  }
  return join(unknown, " ");
}

// As its system would do when it starts. Errors are not repaired: that is not for a copy to decide.
ExtNumbers replay_ext(ApplianceContext& context, VolumePlan& volume) {
  context.step("replaying the journal of " + title(volume));
  const auto damaged = [&](const std::string& what) {
    return refusal_of(volume, "was not unmounted, and its journal cannot be replayed: " + what,
                      "repair it (e2fsck -f)");
  };
  const auto e2fsck = [&](std::string_view options) {
    constexpr int corrected = 1, restart = 2;
    const auto done = context.shell.run(fmt::format("timeout {} e2fsck -p {} {}", most_ext_seconds,
                                                    options, shell_word(volume.device)));
    if (done.code > (corrected | restart)) throw damaged(done.complaint());
  };
  e2fsck("-E journal_only");
  if (read_ext(context.shell, volume).has_errors) throw damaged("it holds a note of errors");
  e2fsck("");  // what was deleted while it was still open
  ExtNumbers numbers = read_ext(context.shell, volume);
  if (numbers.needs_recovery()) throw damaged("it still holds changes afterwards");
  note_replay(volume);
  return numbers;
}

// The last line of e2fsck -n is about blocks in use; what it found stands before.
std::string ext_fault(Shell& shell, const VolumePlan& volume) {
  const auto found = shell.run(
      fmt::format("timeout {} e2fsck -fn {}", most_ext_seconds, shell_word(volume.device)));
  if (found.code == 0) return "";
  if (found.code == 124) return "checking it takes too long";
  const auto begin = found.out.find("\n\n");
  std::string line = found.out.substr(begin == std::string::npos ? 0 : begin + 2);
  line = line.substr(0, line.find('\n'));
  return line.empty() ? found.complaint() : short_line(line);
}

std::uint64_t ext_minimum(Shell& shell, const VolumePlan& volume, const ExtNumbers& numbers) {
  const std::string text = shell.must("measuring " + title(volume),
                                      fmt::format("timeout {} resize2fs -P {} 2>/dev/null",
                                                  most_ext_seconds, shell_word(volume.device)));
  return number_after(text, "minimum size of the filesystem:") * numbers.block_size;
}

void measure_ext(ApplianceContext& context, VolumePlan& volume) {
  ExtNumbers numbers = read_ext(context.shell, volume);
  if (const std::string unknown = unknown_features(numbers); !unknown.empty()) {
    volume.left_alone = true;
    volume.keep("e2fsprogs does not know its features " + unknown, "a newer one may");
    return;
  }
  if (numbers.needs_recovery()) numbers = replay_ext(context, volume);
  volume.used = (numbers.blocks - numbers.free_blocks) * numbers.block_size;
  if (const std::string fault = ext_fault(context.shell, volume); !fault.empty()) {
    throw refusal_of(volume, "is damaged: " + fault, "repair it (e2fsck -f)");
  }
  if (!context.options.change_sizes) return;
  if (numbers.features.find(" stable_inodes ") != std::string::npos) {
    volume.keep("its feature stable_inodes forbids it");
    return;
  }
  volume.minimum = ext_minimum(context.shell, volume, numbers);
  aim_for(volume, *volume.minimum + slack_above(*volume.minimum, context.options, least_ext_slack,
                                                ext_slack_percent));
}

// The estimate gets better the smaller the file system is.
void shrink_to_minimum(ApplianceContext& context, VolumePlan& volume) {
  const ExtNumbers numbers = read_ext(context.shell, volume);
  for (unsigned round = 0; round < most_minimal_rounds; ++round) {
    const std::uint64_t least =
        io::align_up(ext_minimum(context.shell, volume, numbers), numbers.block_size);
    if (io::align_up(least, io::MiB) >= volume.new_size) return;
    const auto done =
        context.shell.run(fmt::format("resize2fs -f {} {}", shell_word(volume.device),
                                      io::align_up(least, io::MiB) / numbers.block_size));
    if (done.code != 0) return;  // it is checked afterwards, whatever happened
    volume.new_size = io::align_up(least, io::MiB);
  }
}

void shrink_ext(ApplianceContext& context, VolumePlan& volume) {
  context.step("shrinking " + title(volume));
  const std::uint64_t block_size = read_ext(context.shell, volume).block_size;
  for (unsigned attempt = 1;; ++attempt) {
    // It was checked a moment ago, and not mounted since: -f spares the second check.
    const auto done = context.shell.run(
        fmt::format("resize2fs -f {} {}", shell_word(volume.device), volume.new_size / block_size));
    if (done.code == 0) break;
    if (attempt == most_ext_tries || !ext_fault(context.shell, volume).empty()) {
      throw failed_step(fmt::format("shrinking {}: {}; a larger --slack may help, or --keep {}",
                                    title(volume), done.complaint(), volume.partition));
    }
    volume.new_size = io::align_up(volume.new_size + volume.new_size / 50, io::MiB);
    if (volume.new_size >= volume.size) {
      volume.keep("could not be made smaller: " + done.complaint());
      return;
    }
  }
  if (context.options.minimal) shrink_to_minimum(context, volume);
}

void check_ext(ApplianceContext& context, const VolumePlan& volume) {
  if (const std::string fault = ext_fault(context.shell, volume); !fault.empty()) {
    throw failed_step(fmt::format("{} is damaged now: {}", title(volume), fault));
  }
}

}  // namespace

const Content ext_content = {" ext2 ext3 ext4 ", measure_ext, shrink_ext, trim_mounted, check_ext};

}  // namespace imgtool::guest

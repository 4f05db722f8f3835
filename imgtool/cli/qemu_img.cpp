#include "imgtool/cli/qemu_img.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "imgtool/cli/spelling.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

enum class Takes : std::uint8_t { nothing, value };

// What becomes of an option.
enum class Becomes : std::uint8_t {
  ours,     // `word`, an option of ours
  nothing,  // it asks for what is done anyway
  refused,  // `word` says why
};

struct Rule {
  char letter;            // 0: it has none
  std::string_view name;  // empty: it has none
  Takes takes;
  Becomes becomes;
  std::string_view word;
};

constexpr std::string_view no_secrets =
    "encrypted images are not read here; qemu-img itself or cryptsetup open them";
constexpr std::string_view no_image_options =
    "a name is a path here, not a list of options; give the path, and its format with -f";

constexpr auto everywhere = std::to_array<Rule>({
    {0, "object", Takes::value, Becomes::refused, no_secrets},
    {0, "image-opts", Takes::nothing, Becomes::refused, no_image_options},
    {'q', "quiet", Takes::nothing, Becomes::ours, "-q"},
});

constexpr Rule format_rule{'f', "format", Takes::value, Becomes::ours, "-f"};
// Of commands for qcow2 alone, which see what they have before them.
constexpr Rule unneeded_format{'f', "format", Takes::value, Becomes::nothing, ""};
constexpr Rule progress_rule{'p', "progress", Takes::nothing, Becomes::ours, "-p"};
constexpr Rule no_progress{'p', "progress", Takes::nothing, Becomes::nothing, ""};
constexpr Rule output_rule{0, "output", Takes::value, Becomes::ours, "--output"};
constexpr Rule cache_rule{'t', "cache", Takes::value, Becomes::ours, "-t"};
constexpr Rule source_cache_rule{'T', "source-cache", Takes::value, Becomes::ours, "-T"};
constexpr Rule share_rule{'U', "force-share", Takes::nothing, Becomes::ours, "-U"};
constexpr Rule no_locks{'U', "force-share", Takes::nothing, Becomes::nothing, ""};
constexpr Rule options_rule{'o', "options", Takes::value, Becomes::ours, "-o"};

constexpr auto amend_rules = std::to_array<Rule>({
    unneeded_format,
    no_progress,
    cache_rule,
    options_rule,
    {0, "force", Takes::nothing, Becomes::refused, no_secrets},
});

constexpr auto bitmap_rules = std::to_array<Rule>({
    unneeded_format,
    {0, "add", Takes::nothing, Becomes::ours, "--add"},
    {0, "remove", Takes::nothing, Becomes::ours, "--remove"},
    {0, "clear", Takes::nothing, Becomes::ours, "--clear"},
    {0, "enable", Takes::nothing, Becomes::ours, "--enable"},
    {0, "disable", Takes::nothing, Becomes::ours, "--disable"},
    {0, "merge", Takes::value, Becomes::ours, "--merge"},
    {'b', "source-file", Takes::value, Becomes::ours, "-b"},
    {'F', "source-format", Takes::value, Becomes::ours, "-F"},
    {'g', "granularity", Takes::value, Becomes::ours, "-g"},
});

constexpr auto check_rules = std::to_array<Rule>({
    format_rule,
    output_rule,
    source_cache_rule,
    share_rule,
    {'r', "repair", Takes::value, Becomes::ours, "-r"},
});

constexpr auto commit_rules = std::to_array<Rule>({
    unneeded_format,
    progress_rule,
    cache_rule,
    {'b', "", Takes::value, Becomes::ours, "-b"},
    {'d', "", Takes::nothing, Becomes::ours, "-d"},
    {'r', "rate-limit", Takes::value, Becomes::refused, "commit has no limit here; leave it out"},
});

constexpr auto compare_rules = std::to_array<Rule>({
    format_rule,
    progress_rule,
    source_cache_rule,
    share_rule,
    {'F', "", Takes::value, Becomes::ours, "-F"},
    {'s', "strict", Takes::nothing, Becomes::ours, "-s"},
});

constexpr auto convert_rules = std::to_array<Rule>({
    format_rule,
    progress_rule,
    cache_rule,
    source_cache_rule,
    share_rule,
    options_rule,
    {'O', "", Takes::value, Becomes::ours, "-O"},
    {'B', "backing", Takes::value, Becomes::ours, "-B"},
    {'b', "", Takes::value, Becomes::ours, "-B"},
    {'F', "backing-format", Takes::value, Becomes::ours, "-F"},
    {'c', "compress", Takes::nothing, Becomes::ours, "-c"},
    {'C', "", Takes::nothing, Becomes::nothing, ""},
    {'l', "snapshot", Takes::value, Becomes::ours, "-l"},
    {'S', "", Takes::value, Becomes::ours, "-S"},
    {'n', "", Takes::nothing, Becomes::ours, "-n"},
    {'m', "", Takes::value, Becomes::ours, "-m"},
    {'W', "", Takes::nothing, Becomes::ours, "-W"},
    {'r', "rate-limit", Takes::value, Becomes::ours, "--rate"},
    {0, "salvage", Takes::nothing, Becomes::ours, "--salvage"},
    {0, "target-is-zero", Takes::nothing, Becomes::ours, "--target-is-zero"},
    {0, "target-image-opts", Takes::nothing, Becomes::refused, no_image_options},
    {0, "bitmaps", Takes::nothing, Becomes::refused,
     "bitmaps are not copied; make the image without them, then imgtool bitmap --merge -b"},
    {0, "skip-broken-bitmaps", Takes::nothing, Becomes::refused, "needs --bitmaps"},
});

constexpr auto create_rules = std::to_array<Rule>({
    {'f', "format", Takes::value, Becomes::ours, "-f"},
    options_rule,
    {'b', "backing", Takes::value, Becomes::ours, "-b"},
    {'F', "backing-format", Takes::value, Becomes::ours, "-F"},
    {'u', "backing-unsafe", Takes::nothing, Becomes::ours, "-u"},
});

constexpr auto dd_rules = std::to_array<Rule>({
    format_rule,
    share_rule,
    {'O', "", Takes::value, Becomes::ours, "-O"},
});

constexpr auto info_rules = std::to_array<Rule>({
    format_rule,
    output_rule,
    no_locks,
    {0, "backing-chain", Takes::nothing, Becomes::ours, "--backing-chain"},
});

constexpr auto map_rules = std::to_array<Rule>({
    format_rule,
    output_rule,
    share_rule,
    {'s', "start-offset", Takes::value, Becomes::ours, "--start-offset"},
    {'l', "max-length", Takes::value, Becomes::ours, "--max-length"},
});

constexpr auto measure_rules = std::to_array<Rule>({
    format_rule,
    output_rule,
    share_rule,
    options_rule,
    {'O', "", Takes::value, Becomes::ours, "-O"},
    {'l', "snapshot", Takes::value, Becomes::ours, "-l"},
    {'s', "size", Takes::value, Becomes::ours, "--size"},
});

constexpr auto rebase_rules = std::to_array<Rule>({
    unneeded_format,
    progress_rule,
    cache_rule,
    source_cache_rule,
    no_locks,
    {'b', "backing", Takes::value, Becomes::ours, "-b"},
    {'F', "backing-format", Takes::value, Becomes::ours, "-F"},
    {'u', "backing-unsafe", Takes::nothing, Becomes::ours, "-u"},
});

constexpr auto resize_rules = std::to_array<Rule>({
    format_rule,
    {0, "shrink", Takes::nothing, Becomes::ours, "--shrink"},
    {0, "preallocation", Takes::value, Becomes::refused,
     "room is not set aside by resize here; leave it out"},
});

constexpr auto snapshot_rules = std::to_array<Rule>({
    share_rule,
    {'l', "", Takes::nothing, Becomes::ours, "-l"},
    {'c', "", Takes::value, Becomes::ours, "-c"},
    {'a', "", Takes::value, Becomes::ours, "-a"},
    {'d', "", Takes::value, Becomes::ours, "-d"},
});

// What a command says where it is not told how.
enum class Says : std::uint8_t {
  nothing,       // in qemu-img, or what no script looks at
  words_of_qemu  // scripts look for these
};

// A command of qemu-img, and what qemu-img does there without being asked.
struct Subcommand {
  std::string_view name;
  std::string_view ours;
  std::span<const Rule> rules;
  Says says;
  std::string_view added{};       // options of ours that always come along, between blanks
  std::string_view raw_unless{};  // an option whose absence means raw
  bool own_exit_codes = false;
};

constexpr std::string_view follow = "--follow-references";
constexpr std::string_view overwrite = "--follow-references --force --yes";

constexpr auto subcommands = std::to_array<Subcommand>({
    {"amend", "amend", amend_rules, Says::nothing},
    {"bitmap", "bitmap", bitmap_rules, Says::nothing},
    {"check", "check", check_rules, Says::words_of_qemu, "", "", true},
    {"commit", "commit", commit_rules, Says::nothing, follow},
    {"compare", "compare", compare_rules, Says::words_of_qemu, follow, "", true},
    {"convert", "convert", convert_rules, Says::nothing, overwrite, "-O"},
    {"create", "create", create_rules, Says::nothing, "--follow-references --force", "-f"},
    {"dd", "convert", dd_rules, Says::nothing, overwrite, "-O"},
    {"info", "info", info_rules, Says::words_of_qemu},
    {"map", "map", map_rules, Says::words_of_qemu, follow},
    {"measure", "measure", measure_rules, Says::words_of_qemu, "", "-O"},
    {"rebase", "rebase", rebase_rules, Says::nothing, follow},
    {"resize", "resize", resize_rules, Says::nothing, follow},
    {"snapshot", "snapshot", snapshot_rules, Says::words_of_qemu},
});

const Subcommand& find_subcommand(const std::string& name) {
  std::vector<std::string> names;
  for (const Subcommand& subcommand : subcommands) {
    if (subcommand.name == name) return subcommand;
    names.emplace_back(subcommand.name);
  }
  if (name == "bench") {
    throw UsageError("qemu-img: bench measures qemu's own block layer, which is not used here");
  }
  throw UsageError(
      fmt::format("qemu-img: unknown command '{}'{}", name, did_you_mean(name, names)));
}

// The words of one command line, option after option.
class Translator {
 public:
  Translator(const Subcommand& subcommand, Arguments arguments)
      : subcommand_(subcommand), words_(std::move(arguments)) {}

  QemuTranslation translate() {
    while (next_ < words_.size()) {
      const std::string word = words_[next_++];
      if (word == "--") break;
      if (word.starts_with("--")) {
        take_long(word.substr(2));
      } else if (is_options(word)) {
        take_letters(word);
      } else {
        names_.push_back(word);
      }
    }
    names_.insert(names_.end(), words_.begin() + static_cast<std::ptrdiff_t>(next_), words_.end());
    add_what_is_implied();
    take_names();
    return {std::string(subcommand_.ours), std::move(result_), subcommand_.own_exit_codes};
  }

 private:
  [[noreturn]] void fail(const std::string& text) const {
    throw UsageError(fmt::format("qemu-img {}: {}", subcommand_.name, text));
  }

  // "-1G" is a size, "-" standard input.
  [[nodiscard]] static bool is_options(const std::string& word) {
    return word.size() > 1 && word.front() == '-' && (word[1] < '0' || word[1] > '9');
  }

  template <class Visitor>
  void for_each_rule(const Visitor& visit) const {
    for (const Rule& rule : subcommand_.rules) visit(rule);
    for (const Rule& rule : everywhere) visit(rule);
  }

  [[nodiscard]] const Rule& by_letter(char letter) const {
    const Rule* found = nullptr;
    for_each_rule([&](const Rule& rule) {
      if (rule.letter == letter) found = &rule;
    });
    if (found == nullptr) fail(fmt::format("unknown option '-{}'", letter));
    return *found;
  }

  // By its name, or by the beginning of just one.
  [[nodiscard]] const Rule& by_name(const std::string& name) const {
    std::vector<const Rule*> found;
    for_each_rule([&](const Rule& rule) {
      if (rule.name.empty() || !rule.name.starts_with(name)) return;
      if (rule.name == name) {
        found.assign(1, &rule);
      } else if (found.empty() || found.front()->name != name) {
        found.push_back(&rule);
      }
    });
    if (found.size() != 1) {
      fail(fmt::format("{} option '--{}'", found.empty() ? "unknown" : "ambiguous", name));
    }
    return *found.front();
  }

  void take_long(const std::string& text) {
    const auto equals = text.find('=');
    const Rule& rule = by_name(text.substr(0, equals));
    const std::string spoken = fmt::format("--{}", rule.name);
    if (equals == std::string::npos) {
      take(rule, spoken, std::nullopt);
    } else if (rule.takes == Takes::value) {
      take(rule, spoken, text.substr(equals + 1));
    } else {
      fail(spoken + ": takes no value");
    }
  }

  void take_letters(const std::string& word) {
    for (std::size_t i = 1; i < word.size(); ++i) {
      const Rule& rule = by_letter(word[i]);
      const std::string spoken = fmt::format("-{}", word[i]);
      if (rule.takes == Takes::nothing) {
        take(rule, spoken, std::nullopt);
        continue;
      }
      const std::string rest = word.substr(i + 1);
      take(rule, spoken, rest.empty() ? std::nullopt : std::optional(rest));
      return;
    }
  }

  void take(const Rule& rule, const std::string& spoken, std::optional<std::string> value) {
    if (rule.takes == Takes::value && !value) {
      if (next_ == words_.size()) fail(spoken + ": its value is missing");
      value = words_[next_++];
    }
    if (rule.becomes == Becomes::refused) fail(fmt::format("{}: {}", spoken, rule.word));
    if (rule.becomes == Becomes::nothing) return;
    given_.emplace_back(rule.word);
    add(rule.word, value);
  }

  // In one word where it has a long name, so that a value may begin with a dash.
  void add(std::string_view option, const std::optional<std::string>& value) {
    if (!value) {
      result_.emplace_back(option);
    } else if (option.starts_with("--")) {
      result_.push_back(fmt::format("{}={}", option, *value));
    } else {
      result_.emplace_back(option);
      result_.push_back(*value);
    }
  }

  [[nodiscard]] bool is_given(std::string_view option) const {
    return std::find(given_.begin(), given_.end(), option) != given_.end();
  }

  void add_what_is_implied() {
    std::string_view added = subcommand_.added;
    while (!added.empty()) {
      const auto end = std::min(added.find(' '), added.size());
      result_.emplace_back(added.substr(0, end));
      added.remove_prefix(std::min(end + 1, added.size()));
    }
    if (subcommand_.name == "measure" && !is_given("--size")) result_.emplace_back(follow);
    if (!subcommand_.raw_unless.empty() && !is_given(subcommand_.raw_unless)) {
      add(subcommand_.raw_unless, "raw");
    }
    if (subcommand_.says == Says::words_of_qemu && !is_given("--output")) add("--output", "qemu");
    if (is_silent() && !is_given("-p")) result_.emplace_back("-q");
  }

  [[nodiscard]] bool is_silent() const {
    const bool changes_snapshots =
        subcommand_.name == "snapshot" && (is_given("-c") || is_given("-a") || is_given("-d"));
    return subcommand_.says == Says::nothing || changes_snapshots;
  }

  void take_names() {
    if (subcommand_.name == "dd") {
      take_dd_operands();
      return;
    }
    if (subcommand_.name == "convert" && names_.size() > 2) {
      fail("several sources in a row are not joined here; convert them one by one");
    }
    result_.emplace_back("--");
    result_.insert(result_.end(), names_.begin(), names_.end());
  }

  // if=, of=, bs=, count= and skip=, the last two in blocks of bs.
  void take_dd_operands() {
    std::array<std::optional<std::string>, 5> values;
    constexpr std::array<std::string_view, 5> keys = {"if", "of", "bs", "count", "skip"};
    for (const std::string& name : names_) {
      const auto equals = name.find('=');
      const auto key = std::find(keys.begin(), keys.end(), name.substr(0, equals));
      if (equals == std::string::npos || key == keys.end()) {
        fail(fmt::format("unknown operand '{}'; there are if, of, bs, count and skip", name));
      }
      values[static_cast<std::size_t>(key - keys.begin())] = name.substr(equals + 1);
    }
    const auto& [input, output, block, count, skip] = values;
    if (!input || !output) fail("if= and of= are needed");
    const std::uint64_t block_bytes = block ? parse_size(*block) : 512;
    if (block_bytes == 0) fail("bs= has to be more than 0");
    add_blocks("--count", count, block_bytes);
    add_blocks("--skip", skip, block_bytes);
    result_.insert(result_.end(), {"--", *input, *output});
  }

  void add_blocks(std::string_view option, const std::optional<std::string>& blocks,
                  std::uint64_t block_bytes) {
    if (!blocks) return;
    std::uint64_t bytes = 0;
    if (__builtin_mul_overflow(parse_size(*blocks), block_bytes, &bytes)) {
      fail(fmt::format("'{}' blocks of {} bytes are too many", *blocks, block_bytes));
    }
    add(option, fmt::to_string(bytes));
  }

  const Subcommand& subcommand_;
  const Arguments words_;
  std::size_t next_ = 0;
  std::vector<std::string> given_;  // ours
  std::vector<std::string> names_;
  Arguments result_;
};

}  // namespace

QemuTranslation translate_qemu_img(const Arguments& arguments) {
  const Subcommand& subcommand = find_subcommand(arguments.front());
  return Translator(subcommand, {arguments.begin() + 1, arguments.end()}).translate();
}

}  // namespace imgtool

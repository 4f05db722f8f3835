// What a command accepts, declared once: parsed from it, and explained from it by --help.
//
//   BurnOptions o;
//   CommandLine line("burn", "Writes IMAGE to each TARGET and verifies it.");
//   line.argument("IMAGE", o.image, "image to write; - is standard input");
//   line.arguments("TARGET", o.targets, "disk or file");
//   line.option("yes", flag_into(o.yes), "do not ask before a disk is overwritten");
//   line.option("output-format,O", text_into(o.format, "FORMAT"), "...");
//   line.job_options(o.job);
//   line.exit_code(exit_code::refused, "a target is in use, or too small");
//   line.example("imgtool burn golden.img /dev/sdb", "burn one disk");
//   if (const auto exit = line.parse(arguments)) return *exit;
//
// Variables keep their value unless the user gives one, and have to outlive the CommandLine.
// Options and arguments may come in any order; after "--" everything is an argument. Names are
// never guessed from a prefix. This is the only user of Boost.Program_options.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "imgtool/cli/option_value.hpp"
#include "imgtool/terminal/job_options.hpp"

namespace imgtool {

using Arguments = std::vector<std::string>;

// What every command takes.
struct CommonOptions {
  bool json = false;
  bool verbose = false;
  bool quiet = false;
};

class CommandLine {
 public:
  // `about`: a sentence or a few, for the top of --help.
  CommandLine(std::string command, std::string about);

  void argument(std::string name, std::string& variable, std::string text);
  // One that may be left out; after the ones that may not.
  void argument(std::string name, std::optional<std::string>& variable, std::string text);
  // One or more; after all others.
  void arguments(std::string name, std::vector<std::string>& variable, std::string text);
  // The same, or none.
  void any_arguments(std::string name, std::vector<std::string>& variable, std::string text);

  // `names`: "long", "long,s" or ",s". `text`: a phrase, not starting with a capital letter.
  void option(std::string names, OptionValue value, std::string text);
  // --progress, -p, --progress-fd and --io-engine.
  void job_options(JobOptions& job);
  // --force, in the one meaning it has everywhere.
  void force_option(bool& force);

  // What --help ends with. 0, 1 and 2 are explained by themselves; a given one replaces them.
  void example(std::string command, std::string text);
  void exit_code(int code, std::string meaning);

  // Empty: go on. Otherwise --help was asked for and printed, and this is the exit code.
  // Throws UsageError.
  [[nodiscard]] std::optional<int> parse(const Arguments& arguments);

  // Valid after parse().
  [[nodiscard]] const CommonOptions& common() const { return common_; }

  [[nodiscard]] std::string help() const;

 private:
  struct Argument {
    std::string name;
    std::string text;
    bool required;
    bool repeatable;
    std::function<void(const std::string& word)> set;
  };
  struct Option {
    std::string names;
    std::string text;
    OptionValue value;
    bool common;
    unsigned given = 0;
  };
  struct Word;  // one option or argument as it was typed

  [[nodiscard]] Arguments with_implied_values(Arguments words) const;
  [[nodiscard]] std::vector<Word> split(const Arguments& arguments) const;
  [[nodiscard]] Option* find(std::string_view key);
  void take_option(Option& option, const Word& word);
  void take_arguments(const std::vector<std::string>& words);
  [[nodiscard]] std::string synopsis() const;

  std::string command_;
  std::string about_;
  CommonOptions common_;
  JobOptions* job_ = nullptr;
  bool help_asked_ = false;
  std::vector<Argument> arguments_;
  std::vector<Option> options_;
  std::vector<std::pair<std::string, std::string>> examples_;
  std::vector<std::pair<int, std::string>> exit_codes_;
};

}  // namespace imgtool

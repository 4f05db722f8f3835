#include "imgtool/cli/options.hpp"

#include <fcntl.h>

#include <boost/program_options.hpp>
#include <cctype>
#include <climits>

#include <fmt/format.h>

#include "imgtool/cli/help_text.hpp"
#include "imgtool/cli/spelling.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

namespace po = boost::program_options;

// "long,s" as one says it: "--long"; ",s" as "-s".
std::string spoken_name(std::string_view names) {
  const std::size_t comma = names.find(',');
  return comma == 0 ? fmt::format("-{}", names.substr(1))
                    : fmt::format("--{}", names.substr(0, comma));
}

// How Boost names an option in its answers: "long", or "-s" when there is only a letter.
std::string boost_key(std::string_view names) {
  const std::string spoken = spoken_name(names);
  return spoken.starts_with("--") ? spoken.substr(2) : spoken;
}

// Two forms Boost gets wrong: "-5G" is an argument (there are no options with digits), and
// "--=x" is nothing at all.
std::vector<po::option> parse_oddities(std::vector<std::string>& words) {
  const std::string word = words.front();
  if (word.starts_with("--=")) {
    throw UsageError(fmt::format("unknown option '{}'", word));
  }
  if (word.size() < 2 || word[0] != '-' || std::isdigit(static_cast<unsigned char>(word[1])) == 0) {
    return {};
  }
  po::option argument;
  argument.value.push_back(word);
  argument.original_tokens.push_back(word);
  argument.position_key = INT_MAX;
  words.erase(words.begin());
  return {argument};
}

// A descriptor that the caller opened for us; looked at now, while no file of ours can be it.
OptionValue open_fd_into(std::optional<unsigned>& variable) {
  return {.placeholder = "N", .set = [&variable](const std::string& word) {
            const auto fd = static_cast<unsigned>(parse_count(word, 0, INT_MAX));
            const int flags = ::fcntl(static_cast<int>(fd), F_GETFL);
            if (flags == -1 || (flags & O_ACCMODE) == O_RDONLY) {
              throw UsageError(fmt::format("descriptor {} is not open for writing", fd));
            }
            variable = fd;
          }};
}

std::string explain(const po::invalid_command_line_syntax& error) {
  using Syntax = po::invalid_command_line_syntax;
  std::string name = error.get_option_name();
  if (name.size() == 3 && name.starts_with("--")) {
    name.erase(0, 1);  // Boost calls a lone "-O" "--O"
  }
  switch (error.kind()) {
    case Syntax::missing_parameter:
    case Syntax::empty_adjacent_parameter:
      return fmt::format("{}: its value is missing", name);
    case Syntax::extra_parameter:
      return fmt::format("{}: takes no value", name);
    default:
      return error.what();
  }
}

}  // namespace

struct CommandLine::Word {
  std::string key;                  // of an option as boost_key() names it; empty: an argument
  std::string value;                // of an option that takes one; or the argument
  bool value_is_next_word = false;  // "--name VALUE", not "--name=VALUE"
};

CommandLine::CommandLine(std::string command, std::string about)
    : command_(std::move(command)), about_(std::move(about)) {
  const auto common = [this](std::string names, bool& variable, std::string text) {
    options_.push_back({std::move(names), std::move(text), flag_into(variable), true});
  };
  common("json", common_.json, "print one JSON document, also on failure");
  common("verbose,v", common_.verbose, "say more on standard error");
  common("quiet,q", common_.quiet, "print no result and no progress; notes, errors and JSON stay");
  common("help", help_asked_, "print this and stop");
  exit_code(exit_code::done, "done");
  exit_code(exit_code::failed, "failed");
  exit_code(exit_code::usage, "wrong usage");
}

void CommandLine::argument(std::string name, std::string& variable, std::string text) {
  arguments_.push_back({std::move(name), std::move(text), true, false,
                        [&variable](const std::string& word) { variable = word; }});
}

void CommandLine::argument(std::string name, std::optional<std::string>& variable,
                           std::string text) {
  arguments_.push_back({std::move(name), std::move(text), false, false,
                        [&variable](const std::string& word) { variable = word; }});
}

void CommandLine::arguments(std::string name, std::vector<std::string>& variable,
                            std::string text) {
  arguments_.push_back({std::move(name), std::move(text), true, true,
                        [&variable](const std::string& word) { variable.push_back(word); }});
}

void CommandLine::any_arguments(std::string name, std::vector<std::string>& variable,
                                std::string text) {
  arguments(std::move(name), variable, std::move(text));
  arguments_.back().required = false;
}

void CommandLine::option(std::string names, OptionValue value, std::string text) {
  options_.push_back({std::move(names), std::move(text), std::move(value), false});
}

void CommandLine::job_options(JobOptions& job) {
  job_ = &job;
  const auto common = [this](std::string names, OptionValue value, std::string text) {
    options_.push_back({std::move(names), std::move(text), std::move(value), true});
  };
  common("progress",
         choice_into<ProgressMode>(job.progress, {{"auto", ProgressMode::automatic},
                                                  {"bar", ProgressMode::bar},
                                                  {"plain", ProgressMode::plain},
                                                  {"json", ProgressMode::json},
                                                  {"none", ProgressMode::none}}),
         "how progress is shown; auto is a bar on a terminal, else a line every 10 s");
  OptionValue shown;
  shown.repeatable = true;
  shown.set = [&job](const std::string&) { job.progress = ProgressMode::automatic; };
  common(",p", std::move(shown), "show progress, as qemu-img spells it: --progress auto");
  common("progress-fd", open_fd_into(job.progress_fd),
         "show progress on this open file descriptor instead of standard error");
  common("io-engine",
         choice_into<IoEngine>(job.io_engine, {{"auto", IoEngine::automatic},
                                               {"uring", IoEngine::uring},
                                               {"threads", IoEngine::threads}}),
         "how the kernel is asked; auto is io_uring where it is allowed, else threads");
}

void CommandLine::force_option(bool& force) {
  option("force", flag_into(force), "replace an existing output file");
}

void CommandLine::example(std::string command, std::string text) {
  examples_.emplace_back(std::move(command), std::move(text));
}

void CommandLine::exit_code(int code, std::string meaning) {
  std::erase_if(exit_codes_, [code](const auto& known) { return known.first == code; });
  const auto place = std::find_if(exit_codes_.begin(), exit_codes_.end(),
                                  [code](const auto& known) { return known.first > code; });
  exit_codes_.emplace(place, code, std::move(meaning));
}

// Puts in the values that options may go without: Boost knows of no value that depends on what
// follows.
Arguments CommandLine::with_implied_values(Arguments words) const {
  const auto is_number = [](const std::string& word) {
    return !word.empty() && word.find_first_not_of("0123456789") == std::string::npos;
  };
  for (auto word = words.begin(); word != words.end() && *word != "--"; ++word) {
    for (const Option& option : options_) {
      if (option.value.implied.empty() || *word != spoken_name(option.names)) continue;
      const auto next = std::next(word);
      if (next == words.end() || !is_number(*next)) *word += '=' + option.value.implied;
      break;
    }
  }
  return words;
}

std::vector<CommandLine::Word> CommandLine::split(const Arguments& arguments) const {
  namespace style = po::command_line_style;
  po::options_description description;
  for (const Option& option : options_) {
    const bool is_flag = option.value.placeholder.empty();
    description.add_options()(option.names.c_str(), new po::untyped_value(is_flag), "");
  }
  std::vector<Word> words;
  try {
    const auto parsed = po::command_line_parser(with_implied_values(arguments))
                            .options(description)
                            .extra_style_parser(parse_oddities)
                            .style(style::unix_style & ~style::allow_guessing)
                            .run();
    for (const po::option& option : parsed.options) {
      words.push_back({option.string_key, option.value.empty() ? "" : option.value.front(),
                       option.original_tokens.size() > 1});
    }
  } catch (const po::unknown_option& error) {
    std::vector<std::string> known;
    known.reserve(options_.size());
    for (const Option& option : options_) {
      known.push_back(spoken_name(option.names));
    }
    const std::string name = error.get_option_name();
    // Short forms of other programs; the words are written out here.
    for (const auto& [letter, word] : {std::pair{"-y", "--yes"}, std::pair{"-h", "--help"}}) {
      const bool taken = word == std::string_view("--help") ||
                         std::find(known.begin(), known.end(), word) != known.end();
      if (name != letter || !taken) continue;
      throw UsageError(fmt::format("unknown option '{}'; did you mean '{}'?", name, word));
    }
    throw UsageError(fmt::format("unknown option '{}'{}", name, did_you_mean(name, known)));
  } catch (const po::invalid_command_line_syntax& error) {
    throw UsageError(explain(error));
  } catch (const po::error& error) {
    throw UsageError(error.what());
  }
  return words;
}

CommandLine::Option* CommandLine::find(std::string_view key) {
  for (Option& option : options_) {
    if (boost_key(option.names) == key) {
      return &option;
    }
  }
  return nullptr;
}

void CommandLine::take_option(Option& option, const Word& word) {
  const std::string name = spoken_name(option.names);
  // Boost would let "--serial --yes" take "--yes" for the serial number.
  if (word.value_is_next_word && word.value.starts_with("--")) {
    throw UsageError(fmt::format("{}: its value is missing before '{}'", name, word.value));
  }
  if (++option.given > 1 && !option.value.repeatable) {
    throw UsageError(fmt::format("{}: given twice", name));
  }
  try {
    option.value.set(word.value);
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}: {}", name, error.what()));
  }
}

void CommandLine::take_arguments(const std::vector<std::string>& words) {
  std::size_t taken = 0;
  for (const Argument& argument : arguments_) {
    if (argument.required && taken == words.size()) {
      throw UsageError(fmt::format("the argument {} is missing", argument.name));
    }
    const std::size_t until = argument.repeatable ? words.size() : taken + 1;
    for (; taken < std::min(until, words.size()); ++taken) {
      argument.set(words[taken]);
    }
  }
  if (taken < words.size()) {
    throw UsageError(fmt::format("unexpected argument '{}'", words[taken]));
  }
}

std::optional<int> CommandLine::parse(const Arguments& arguments) {
  try {
    std::vector<std::string> words;
    for (const Word& word : split(arguments)) {
      if (word.key.empty()) {
        words.push_back(word.value);
      } else {
        take_option(*find(word.key), word);
      }
    }
    if (help_asked_) {
      print(help());
      return exit_code::done;
    }
    take_arguments(words);
    if (common_.quiet) print_only_documents();
    if (common_.quiet && job_ != nullptr) job_->progress = ProgressMode::none;
  } catch (const UsageError& error) {
    throw UsageError(
        fmt::format("{}: {} (see imgtool {} --help)", command_, error.what(), command_));
  }
  return std::nullopt;
}

std::string CommandLine::synopsis() const {
  std::string text = fmt::format("imgtool {} [OPTIONS]", command_);
  for (const Argument& argument : arguments_) {
    const std::string word = argument.name + (argument.repeatable ? "..." : "");
    text += argument.required ? " " + word : " [" + word + "]";
  }
  return text;
}

std::string CommandLine::help() const {
  HelpText text;
  text.line("Usage: " + synopsis());
  text.paragraph(about_);
  text.heading("Arguments");
  for (const Argument& argument : arguments_) {
    text.row(argument.name, argument.text);
  }
  for (const bool common : {false, true}) {
    text.heading(common ? "Common options" : "Options");
    for (const Option& option : options_) {
      if (option.common == common) {
        text.row(option_label(option.names, option.value.placeholder),
                 with_default(option.text, option.value.default_text));
      }
    }
  }
  text.heading("Examples");
  for (const auto& [command, meaning] : examples_) {
    text.example(command, meaning);
  }
  text.heading("Exit codes");
  for (const auto& [code, meaning] : exit_codes_) {
    text.row(std::to_string(code), meaning);
  }
  text.row("128+N", "ended by signal N");
  return text.take();
}

}  // namespace imgtool

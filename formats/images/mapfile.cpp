#include "formats/images/mapfile.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <charconv>
#include <filesystem>
#include <iterator>
#include <span>
#include <utility>

#include <fcntl.h>

#include <fmt/format.h>

#include "io/error.hpp"
#include "io/file.hpp"
#include "io/output_file.hpp"

namespace formats {
namespace {

constexpr std::string_view phase_title = "current_pos  current_status  current_pass";
constexpr std::string_view block_title = "     pos        size  status";
constexpr std::string_view block_letters = "?*/-+";
constexpr std::string_view phase_letters = "?*/-FG+";
constexpr std::string_view spaces = " \t\r\v\f";

// Up to four words of a line, enough to see that there is one too many.
struct Words {
  std::array<std::string_view, 4> word;
  std::size_t count = 0;
};

// A '#' starts a comment at the start of a word only, as in ddrescue.
Words split(std::string_view line) {
  Words words;
  while (words.count < words.word.size()) {
    line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
    if (line.empty() || line.front() == '#') break;
    const std::size_t length = std::min(line.find_first_of(spaces), line.size());
    words.word[words.count++] = line.substr(0, length);
    line.remove_prefix(length);
  }
  return words;
}

// The text after "# ", if the line is nothing but a comment.
std::optional<std::string_view> comment_of(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(spaces), line.size()));
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(line.starts_with("# ") ? 2 : 1);
  return line.substr(0, line.find_last_not_of(spaces) + 1);
}

template <class Number>
std::optional<Number> parse_digits(std::string_view digits, int base) {
  Number number = 0;
  const char* end = digits.data() + digits.size();
  const auto [stopped, error] = std::from_chars(digits.data(), end, number, base);
  if (error != std::errc{} || stopped != end || digits.empty()) return std::nullopt;
  return number;
}

// A C++ integer constant: decimal, 0x hexadecimal or 0 octal.
std::optional<std::uint64_t> parse_offset(std::string_view word) {
  int base = 10;
  if (word.starts_with("0x") || word.starts_with("0X")) {
    base = 16;
    word.remove_prefix(2);
  } else if (word.size() > 1 && word.front() == '0') {
    base = 8;
  }
  const auto value = parse_digits<std::uint64_t>(word, base);
  if (!value || *value > max_mapfile_offset) return std::nullopt;
  return value;
}

template <class Letter>
std::optional<Letter> parse_letter(std::string_view word, std::string_view letters) {
  if (word.size() != 1 || letters.find(word.front()) == std::string_view::npos) {
    return std::nullopt;
  }
  return static_cast<Letter>(word.front());
}

class Parser {
 public:
  Parser(std::string_view text, const std::string& path) : rest_(text), path_(path) {}

  Mapfile parse();

 private:
  bool next_line();
  void take_status(const Words& words);
  void take_block(const Words& words);
  [[noreturn]] void fail(std::string_view what) const {
    throw io::Error::format(path_, line_offset_, fmt::format("line {}: {}", line_number_, what));
  }

  std::string_view rest_;
  const std::string& path_;
  std::string_view line_;
  std::uint64_t line_offset_ = 0;
  std::uint64_t next_offset_ = 0;
  std::uint64_t line_number_ = 0;
  Mapfile mapfile_;
};

bool Parser::next_line() {
  if (rest_.empty()) return false;
  line_ = rest_.substr(0, rest_.find('\n'));
  rest_.remove_prefix(std::min(line_.size() + 1, rest_.size()));
  line_offset_ = next_offset_;
  next_offset_ += line_.size() + 1;
  ++line_number_;
  return true;
}

Mapfile Parser::parse() {
  bool seen_status = false;
  bool seen_block = false;
  while (next_line()) {
    const auto comment = comment_of(line_);
    if (comment && !seen_status && *comment != phase_title) {
      mapfile_.comments.emplace_back(*comment);
    }
    const Words words = split(line_);
    if (words.count == 0) continue;
    if (!seen_status) {
      take_status(words);
      seen_status = true;
      continue;
    }
    // Whatever the first block leaves out in front has not been tried.
    const auto start = parse_offset(words.word[0]);
    if (!seen_block && start) mapfile_.blocks.append(*start, BlockStatus::non_tried);
    take_block(words);
    seen_block = true;
  }
  if (!seen_status) fail("there is no status line, so this is no mapfile or one cut short");
  return std::move(mapfile_);
}

void Parser::take_status(const Words& words) {
  const auto position = parse_offset(words.word[0]);
  const auto phase = parse_letter<RescuePhase>(words.word[1], phase_letters);
  // Maps of ddrescue 1.19 and older, and of partclone, have no pass.
  const auto pass = words.count == 2 ? 1 : parse_digits<int>(words.word[2], 10);
  if (words.count > 3 || !position || !phase || !pass || *pass < 1) {
    fail("the status line must be POSITION PHASE PASS, such as: 0x00000000 ? 1");
  }
  mapfile_.position = *position;
  mapfile_.phase = *phase;
  mapfile_.pass = *pass;
}

void Parser::take_block(const Words& words) {
  const auto start = parse_offset(words.word[0]);
  const auto length = parse_offset(words.word[1]);
  const auto status = parse_letter<BlockStatus>(words.word[2], block_letters);
  if (words.count > 3 || !start || !length || !status) {
    fail("a block must be OFFSET LENGTH STATUS, where STATUS is one of ? * / - +");
  }
  // ddrescue writes one empty block for an empty disk.
  if (*length == 0 && *start != 0) fail("a block must not be empty");
  const std::uint64_t end = mapfile_.blocks.size();
  if (*start != end) {
    fail(fmt::format("the block must start at 0x{:08X}, where the one before it ends", end));
  }
  if (*length > max_mapfile_offset - end) fail("the block ends beyond 2^63 - 1");
  mapfile_.blocks.append(*length, *status);
}

void append_comment(std::string& text, std::string_view comment) {
  text += "# ";
  const auto visible = [](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return (byte < 0x20 && c != '\t') || byte == 0x7F ? '?' : c;
  };
  std::ranges::transform(comment, std::back_inserter(text), visible);
  text += '\n';
}

void append_block(std::string& text, io::ByteRange range, BlockStatus status) {
  fmt::format_to(std::back_inserter(text), "0x{:08X}  0x{:08X}  {}\n", range.offset, range.length,
                 static_cast<char>(status));
}

}  // namespace

Mapfile parse_mapfile(std::string_view text, const std::string& path) {
  return Parser(text, path).parse();
}

std::string mapfile_text(const Mapfile& mapfile) {
  assert(mapfile.position <= max_mapfile_offset);
  assert(mapfile.blocks.size() <= max_mapfile_offset);
  assert(mapfile.pass >= 1);
  std::string text;
  for (const auto& comment : mapfile.comments) append_comment(text, comment);
  append_comment(text, phase_title);
  fmt::format_to(std::back_inserter(text), "0x{:08X}     {}               {}\n", mapfile.position,
                 static_cast<char>(mapfile.phase), mapfile.pass);
  append_comment(text, block_title);
  for (const auto& [range, status] : mapfile.blocks) append_block(text, range, status);
  if (mapfile.blocks.empty()) append_block(text, {}, BlockStatus::non_tried);
  return text;
}

std::optional<Mapfile> load_mapfile(const std::string& path) {
  constexpr std::uint64_t limit = 64 * io::MiB;
  if (std::error_code error; !std::filesystem::exists(path, error) && !error) return std::nullopt;
  const io::File file(path, O_RDONLY);
  const std::uint64_t size = file.size();
  if (size > limit) {
    throw io::Error(
        io::ErrorKind::refused, path,
        fmt::format("{} bytes are too many for a mapfile; the limit is {}", size, limit));
  }
  std::string text(static_cast<std::size_t>(size), '\0');
  text.resize(file.read_at(0, std::as_writable_bytes(std::span(text))));
  return parse_mapfile(text, path);
}

void save_mapfile(const Mapfile& mapfile, const std::string& path) {
  const std::string text = mapfile_text(mapfile);
  io::OutputFile output(path, /*replace=*/true);
  output.file().write_at(0, std::as_bytes(std::span(text)));
  output.publish();
}

}  // namespace formats

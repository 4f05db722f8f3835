#include "formats/filesystems/lvm/config.hpp"

#include <charconv>

#include "formats/filesystems/doubt.hpp"

namespace formats::filesystems::lvm {
namespace {

constexpr unsigned deepest = 16;

[[noreturn]] void damaged() {
  throw Doubt("its metadata cannot be understood", "check the volume group (vgck)");
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\0'; }

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-' || c == '.' || c == '+';
}

class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Section run() {
    Section top = body(0);
    if (!at_end()) damaged();
    return top;
  }

 private:
  // Up to the closing brace, or to the end of the text at depth 0.
  Section body(unsigned depth) {
    if (depth > deepest) damaged();
    Section section;
    while (!at_end() && peek() != '}') {
      std::string name = read_name();
      if (at_end()) damaged();
      bool is_new = false;
      if (peek() == '{') {
        ++at_;
        is_new = section.sections.emplace(std::move(name), body(depth + 1)).second;
        expect('}');
      } else {
        expect('=');
        is_new = section.values.emplace(std::move(name), value()).second;
      }
      if (!is_new) damaged();
    }
    return section;
  }

  std::vector<Scalar> value() {
    if (at_end()) damaged();
    std::vector<Scalar> values;
    if (peek() != '[') {
      values.push_back(scalar());
      return values;
    }
    ++at_;
    while (!at_end() && peek() != ']') {
      values.push_back(scalar());
      if (!at_end() && peek() == ',') ++at_;
    }
    expect(']');
    return values;
  }

  Scalar scalar() {
    if (at_end()) damaged();
    if (peek() == '"') return quoted();
    const std::string word = read_name();
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size()) return number;
    return word;  // a fraction, which nothing here asks for
  }

  std::string quoted() {
    std::string text;
    for (++at_; at_ < text_.size(); ++at_) {
      if (text_[at_] == '"') {
        ++at_;
        return text;
      }
      if (text_[at_] == '\\' && ++at_ == text_.size()) break;
      text += text_[at_];
    }
    damaged();
  }

  std::string read_name() {
    skip();
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    if (at_ == begin) damaged();
    std::string name(text_.substr(begin, at_ - begin));
    skip();
    return name;
  }

  void expect(char c) {
    if (at_end() || text_[at_] != c) damaged();
    ++at_;
  }

  // Space and comments.
  void skip() {
    while (at_ < text_.size()) {
      if (text_[at_] == '#') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (is_space(text_[at_])) {
        ++at_;
      } else {
        return;
      }
    }
  }
  bool at_end() {
    skip();
    return at_ == text_.size();
  }
  [[nodiscard]] char peek() const { return text_[at_]; }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

const std::vector<Scalar>& Section::list(std::string_view name) const {
  const auto found = values.find(name);
  if (found == values.end()) damaged();
  return found->second;
}

std::uint64_t Section::number(std::string_view name) const {
  const auto& all = list(name);
  const auto* value = all.size() == 1 ? std::get_if<std::int64_t>(all.data()) : nullptr;
  if (value == nullptr || *value < 0) damaged();
  return static_cast<std::uint64_t>(*value);
}

const std::string& Section::text(std::string_view name) const {
  const auto& all = list(name);
  const auto* value = all.size() == 1 ? std::get_if<std::string>(all.data()) : nullptr;
  if (value == nullptr) damaged();
  return *value;
}

const Section& Section::section(std::string_view name) const {
  const auto found = sections.find(name);
  if (found == sections.end()) damaged();
  return found->second;
}

Section parse_config(std::string_view text) { return Parser(text).run(); }

}  // namespace formats::filesystems::lvm

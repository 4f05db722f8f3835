#include "formats/disks/lvm/config.hpp"

#include <charconv>

#include "formats/disks/filesystems/doubt.hpp"

namespace formats::filesystems::lvm {
namespace {

constexpr unsigned deepest = 16;

[[noreturn]] void damaged() {
  throw Doubt(Reason::damaged, "its metadata cannot be understood",
              "check the volume group (vgck)");
}

[[noreturn]] void too_large() {
  throw Doubt(Reason::unsupported, "its metadata are larger than imgtool reads");
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

  // Takes a value alone apart.
  std::vector<Scalar> value() {
    std::vector<Scalar> values;
    for_each_scalar([&](std::string_view word) {
      if (values.size() == longest_list) too_large();
      values.push_back(scalar_of(word));
    });
    if (!at_end()) damaged();
    return values;
  }

 private:
  // Up to the closing brace, or to the end of the text at depth 0.
  Section body(unsigned depth) {
    if (depth > deepest) damaged();
    Section section;
    while (!at_end() && peek() != '}') {
      const std::string_view name = read_name();
      if (++names_ > most_names) too_large();
      if (at_end()) damaged();
      bool is_new = false;
      if (peek() == '{') {
        ++at_;
        is_new = section.sections.emplace(name, body(depth + 1)).second;
        expect('}');
      } else {
        expect('=');
        is_new = section.values.emplace(name, raw_value()).second;
      }
      if (!is_new) damaged();
    }
    return section;
  }

  std::string_view raw_value() {
    skip();
    const std::size_t begin = at_;
    for_each_scalar([](std::string_view) {});
    return text_.substr(begin, at_ - begin);
  }

  template <class F>
  void for_each_scalar(const F& f) {
    if (at_end()) damaged();
    if (peek() != '[') {
      f(read_scalar());
      return;
    }
    ++at_;
    while (!at_end() && peek() != ']') {
      f(read_scalar());
      if (!at_end() && peek() == ',') ++at_;
    }
    expect(']');
  }

  // With its quotes.
  std::string_view read_scalar() {
    if (at_end()) damaged();
    if (peek() != '"') return read_name();
    const std::size_t begin = at_;
    for (++at_; at_ < text_.size() && peek() != '"'; ++at_) {
      if (peek() == '\\') ++at_;
    }
    if (at_ >= text_.size()) damaged();
    ++at_;
    return text_.substr(begin, at_ - begin);
  }

  static Scalar scalar_of(std::string_view word) {
    if (word.starts_with('"')) return unquoted(word.substr(1, word.size() - 2));
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error == std::errc{} && end == word.data() + word.size()) return number;
    return std::string(word);  // a fraction, which nothing here asks for
  }

  static std::string unquoted(std::string_view quoted) {
    std::string text;
    for (std::size_t at = 0; at < quoted.size(); ++at) {
      if (quoted[at] == '\\') ++at;
      text += quoted[at];
    }
    return text;
  }

  std::string_view read_name() {
    skip();
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    if (at_ == begin) damaged();
    const std::string_view name = text_.substr(begin, at_ - begin);
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
  std::size_t names_ = 0;
};

}  // namespace

std::vector<Scalar> Section::list(std::string_view name) const {
  const auto found = values.find(name);
  if (found == values.end()) damaged();
  return parse_value(found->second);
}

std::uint64_t Section::number(std::string_view name) const {
  const auto all = list(name);
  const auto* value = all.size() == 1 ? std::get_if<std::int64_t>(all.data()) : nullptr;
  if (value == nullptr || *value < 0) damaged();
  return static_cast<std::uint64_t>(*value);
}

std::string Section::text(std::string_view name) const {
  auto all = list(name);
  auto* value = all.size() == 1 ? std::get_if<std::string>(all.data()) : nullptr;
  if (value == nullptr) damaged();
  return std::move(*value);
}

const Section& Section::section(std::string_view name) const {
  const auto found = sections.find(name);
  if (found == sections.end()) damaged();
  return found->second;
}

Section parse_config(std::string_view text) { return Parser(text).run(); }

std::vector<Scalar> parse_value(std::string_view value) { return Parser(value).value(); }

}  // namespace formats::filesystems::lvm

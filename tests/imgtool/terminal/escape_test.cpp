#include "imgtool/terminal/escape.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "imgtool/terminal/report.hpp"

namespace imgtool {
namespace {

struct Row {
  std::string_view raw;
  std::string_view shown;
};

using namespace std::string_view_literals;

constexpr std::array rows = {
    Row{"", ""},
    Row{"plain name.img", "plain name.img"},
    Row{"Größe 磁盘 🖴", "Größe 磁盘 🖴"},
    Row{"a\nb\rc\td", "a\\nb\\rc\\td"},
    Row{"\x1b[2J\x07", "\\x1b[2J\\x07"},
    Row{"nul\0byte"sv, "nul\\x00byte"},
    Row{"\x7f", "\\x7f"},
    Row{"\xc2\x9b"
        "31m",
        "\\u{9b}31m"},                                        // C1: a one byte CSI
    Row{"gpj.\xe2\x80\xae.exe", "gpj.\\u{202e}.exe"},         // right-to-left override
    Row{"\xe2\x81\xa6x\xe2\x81\xa9", "\\u{2066}x\\u{2069}"},  // isolates
    Row{"a\xe2\x80\x8b\xef\xbb\xbf", "a\\u{200b}\\u{feff}"},  // invisible
    Row{"\xe2\x80\xa8", "\\u{2028}"},                         // line separator
    Row{"\xf3\xa0\x80\xa1", "\\u{e0021}"},                    // tag characters
    Row{"\xff\xfe", "\\xff\\xfe"},                            // never UTF-8
    Row{"\xc0\xaf", "\\xc0\\xaf"},                            // overlong
    Row{"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},                   // overlong
    Row{"\xed\xa0\x80", "\\xed\\xa0\\x80"},                   // surrogate
    Row{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},          // past the last code point
    Row{"cut \xe2\x80", "cut \\xe2\\x80"},                    // truncated
    Row{"\xe2(\xa1", "\\xe2(\\xa1"},                          // bad continuation
};

TEST(TerminalText, MakesHostileNamesHarmless) {
  for (const Row& row : rows) {
    EXPECT_EQ(terminal_text(row.raw), row.shown);
  }
}

TEST(TerminalText, ChangesNothingTheSecondTime) {
  for (const Row& row : rows) {
    EXPECT_EQ(terminal_text(terminal_text(row.raw)), row.shown);
  }
}

TEST(JsonString, TakesAnyBytes) {
  EXPECT_EQ(json_string("a\"\n\x1b"), R"("a\"\n\u001b")");
  EXPECT_EQ(json_string("\xe2\x80\xae"), R"("\u202e")");
  EXPECT_EQ(json_string("\xff.img"), R"("\ufffd.img")");
}

TEST(FitColumns, KeepsTheEndOfALongName) {
  EXPECT_EQ(fit_columns("/dev/sdb", 8), "/dev/sdb");
  EXPECT_EQ(fit_columns("/dev/sdb", 7), "..v/sdb");
  EXPECT_EQ(fit_columns("/dev/sdb", 2), "..");
  EXPECT_EQ(fit_columns("ab磁盘", 5), "..盘");
  EXPECT_EQ(display_columns("caf\xc3\xa9"), 4U);
  EXPECT_EQ(display_columns("e\xcc\x81"), 1U);  // a combining accent
  EXPECT_EQ(display_columns("磁"), 2U);
  EXPECT_EQ(display_columns("\xff"), 1U);
  EXPECT_EQ(terminal_text("a\xef\xbf\xbe"), "a\\u{fffe}");  // in no XML document
  for (std::size_t columns = 2; columns < 12; ++columns) {
    EXPECT_LE(display_columns(fit_columns("磁盘/磁盘x", columns)), columns);
  }
}

}  // namespace
}  // namespace imgtool

#include "imgtool/cli/qemu_img.hpp"

#include <gmock/gmock.h>

#include "imgtool/terminal/usage_error.hpp"

using testing::ElementsAre;
using testing::HasSubstr;

namespace imgtool {
namespace {

Arguments translated(const Arguments& arguments) { return translate_qemu_img(arguments).arguments; }

std::string refusal(const Arguments& arguments) {
  try {
    (void)translate_qemu_img(arguments);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "(taken)";
}

TEST(QemuImg, AsksForWhatQemuImgDoesUnasked) {
  EXPECT_THAT(
      translated({"convert", "a", "b"}),
      ElementsAre("--follow-references", "--force", "--yes", "-O", "raw", "-q", "--", "a", "b"));
  EXPECT_THAT(translated({"info", "a"}), ElementsAre("--output=qemu", "--", "a"));
  EXPECT_THAT(translated({"measure", "--size", "1G"}),
              ElementsAre("--size=1G", "-O", "raw", "--output=qemu", "--"));
}

TEST(QemuImg, TakesOptionsJoinedShortenedAndAnywhere) {
  EXPECT_THAT(translated({"convert", "a", "-pcO", "qcow2", "b", "-fraw"}),
              ElementsAre("-p", "-c", "-O", "qcow2", "-f", "raw", "--follow-references", "--force",
                          "--yes", "--", "a", "b"));
  EXPECT_THAT(translated({"info", "--out=json", "--back", "a"}),
              ElementsAre("--output=json", "--backing-chain", "--", "a"));
  EXPECT_THAT(translated({"info", "--output", "json", "--", "-a"}),
              ElementsAre("--output=json", "--", "-a"));
}

TEST(QemuImg, TellsSizesFromOptions) {
  EXPECT_THAT(translated({"resize", "a", "-1G"}),
              ElementsAre("--follow-references", "-q", "--", "a", "-1G"));
  EXPECT_THAT(translated({"compare", "-", "b"}),
              ElementsAre("--follow-references", "--output=qemu", "--", "-", "b"));
}

TEST(QemuImg, CountsTheBlocksOfDd) {
  EXPECT_THAT(translated({"dd", "if=a", "of=b", "bs=1M", "count=3", "skip=0x2"}),
              ElementsAre("--follow-references", "--force", "--yes", "-O", "raw", "-q",
                          "--count=3145728", "--skip=2097152", "--", "a", "b"));
  EXPECT_THAT(refusal({"dd", "if=a", "of=b", "bs=4E", "count=4"}), HasSubstr("too many"));
  EXPECT_THAT(refusal({"dd", "if=a", "of=b", "bs=0"}), HasSubstr("more than 0"));
  EXPECT_THAT(refusal({"dd", "if=a"}), HasSubstr("if= and of="));
}

TEST(QemuImg, KeepsTheExitCodesThatMeanMore) {
  EXPECT_TRUE(translate_qemu_img({"check", "a"}).own_exit_codes);
  EXPECT_TRUE(translate_qemu_img({"compare", "a", "b"}).own_exit_codes);
  EXPECT_FALSE(translate_qemu_img({"convert", "a", "b"}).own_exit_codes);
}

TEST(QemuImg, RefusesWhatItCannotDo) {
  EXPECT_THAT(refusal({"convert", "--bitmaps", "a", "b"}), HasSubstr("bitmaps are not copied"));
  EXPECT_THAT(refusal({"convert", "--target", "a", "b"}), HasSubstr("ambiguous option '--target'"));
  EXPECT_THAT(refusal({"convert", "--frob", "a"}), HasSubstr("unknown option '--frob'"));
  EXPECT_THAT(refusal({"convert", "-y", "a"}), HasSubstr("unknown option '-y'"));
  EXPECT_THAT(refusal({"convert", "-c=3", "a"}), HasSubstr("unknown option '-='"));
  EXPECT_THAT(refusal({"convert", "--salvage=no", "a"}), HasSubstr("takes no value"));
  EXPECT_THAT(refusal({"convert", "a", "-O"}), HasSubstr("-O: its value is missing"));
  EXPECT_THAT(refusal({"info", "--object", "secret"}), HasSubstr("encrypted"));
  EXPECT_THAT(refusal({"comvert", "a"}), HasSubstr("did you mean 'convert'"));
}

}  // namespace
}  // namespace imgtool

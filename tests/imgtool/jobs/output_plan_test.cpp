#include "imgtool/jobs/output_plan.hpp"

#include <gtest/gtest.h>

#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Preallocation;

OutputPlan plan(const OutputOptions& options, const std::string& path = "out.qcow2",
                std::optional<std::uint64_t> size = io::GiB) {
  return plan_output(options, path, size);
}

std::string fault(const OutputOptions& options, const std::string& path = "out.qcow2",
                  std::optional<std::uint64_t> size = io::GiB) {
  try {
    (void)plan(options, path, size);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "";
}

TEST(OutputPlan, TheSuffixDecidesUnlessTheFormatIsStated) {
  EXPECT_EQ(plan({}, "a.qcow2").format, Format::qcow2);
  EXPECT_EQ(plan({}, "a.zst").format, Format::zst);
  EXPECT_EQ(plan({}, "a.img").format, Format::raw);
  EXPECT_EQ(plan({}, "a.vmdk").format, Format::vmdk);
  EXPECT_EQ(plan({}, "A.VHDX").format, Format::vhdx);
  EXPECT_EQ(plan({}, "a.vhd").format, Format::vpc);
  EXPECT_EQ(plan({}, "a.vdi").format, Format::vdi);
  OutputOptions compress;
  compress.default_format = Format::qcow2;
  EXPECT_EQ(plan(compress, "a.img").format, Format::qcow2);
  EXPECT_EQ(plan(compress, "a.zst").format, Format::zst);
  OutputOptions stated;
  stated.format = Format::raw;
  EXPECT_EQ(plan(stated, "a.qcow2").format, Format::raw);
  EXPECT_TRUE(plan(stated, "a.qcow2").format_stated);
}

TEST(OutputPlan, ASuffixThatIsKnownAndNotWrittenIsRefused) {
  for (const char* name : {"a.tar.gz", "a.tar.xz", "a.zip", "a.qed", "A.DMG", "a.tar"}) {
    OutputOptions compress;
    compress.default_format = Format::qcow2;
    for (const OutputOptions& options : {OutputOptions(), compress}) {
      try {
        (void)plan(options, name);
        ADD_FAILURE() << name;
      } catch (const io::Error& error) {
        EXPECT_EQ(error.kind(), io::ErrorKind::refused) << name;
        EXPECT_EQ(error.path(), name);
      }
    }
    OutputOptions stated;
    stated.format = Format::raw;
    EXPECT_EQ(plan(stated, name).format, Format::raw) << "-O insists";
  }
  EXPECT_EQ(plan({}, "gz").format, Format::raw);
}

TEST(OutputPlan, StreamsHaveLevelsOfTheirOwn) {
  EXPECT_EQ(plan({}, "a.img.gz").format, Format::gz);
  EXPECT_EQ(plan({}, "A.XZ").format, Format::xz);
  EXPECT_EQ(plan({}, "a.gz").stream_level, 6);
  EXPECT_EQ(plan({}, "a.zst").stream_level, 3);
  OutputOptions options;
  options.level = 10;
  EXPECT_EQ(plan(options, "a.gz").stream_level, 10);
  EXPECT_THROW((void)plan(options, "a.xz"), UsageError);
  options.level = 13;
  EXPECT_THROW((void)plan(options, "a.gz"), UsageError);
  EXPECT_EQ(plan(options, "a.zst").stream_level, 13);
}

TEST(OutputPlan, TheOptionsThatItIsMadeOfStayAsTheyAre) {
  OutputOptions options;
  options.takes_backing = true;
  options.creation = {"compression_type=zstd,backing_file=base,backing_fmt=raw"};
  const auto choice = backing_choice(options, "out.qcow2");
  ASSERT_TRUE(choice.has_value());
  EXPECT_EQ(choice->name, "base");
  EXPECT_EQ(choice->format, Format::raw);
  EXPECT_FALSE(options.backing.has_value());
  EXPECT_FALSE(options.codec.has_value());
  const OutputPlan made =
      plan_output(options, "out.qcow2", io::GiB, BackingReference{"base", Format::raw});
  EXPECT_EQ(made.create.backing_file, "base");
  EXPECT_EQ(made.create.backing_format, "raw");
  EXPECT_EQ(made.create.compression, formats::qcow2::Compression::zstd);
}

TEST(OutputPlan, BackingNeedsQcow2) {
  OutputOptions options;
  options.backing = "base";
  EXPECT_THROW((void)backing_choice(options, "out.img"), UsageError);
  OutputOptions format_only;
  format_only.backing_format = Format::raw;
  EXPECT_THROW((void)backing_choice(format_only, "out.qcow2"), UsageError);
}

TEST(OutputPlan, OptionsThatContradictEachOtherAreRefused) {
  OutputOptions options;
  options.compress = true;
  EXPECT_NE(fault(options, "out.img"), "");
  EXPECT_EQ(fault(options), "");
  options.creation = {"preallocation=full"};
  EXPECT_NE(fault(options), "");
  OutputOptions unknown;
  unknown.creation = {"colour=red"};
  EXPECT_NE(fault(unknown).find("colour"), std::string::npos);
  OutputOptions preallocated;
  preallocated.creation = {"preallocation=falloc"};
  EXPECT_NE(fault(preallocated, "out.img", std::nullopt), "");
  EXPECT_EQ(plan(preallocated, "out.img").preallocation, Preallocation::falloc);
  OutputOptions zero;
  zero.target_is_zero = true;
  EXPECT_NE(fault(zero), "");
}

TEST(OutputPlan, ADiskThatItsFormatCannotHoldIsRefused) {
  OutputOptions small_clusters;
  small_clusters.creation = {"cluster_size=512"};
  EXPECT_EQ(fault(small_clusters), "");
  EXPECT_NE(fault(small_clusters, "out.qcow2", std::uint64_t{1} << 50), "");
}

TEST(OutputPlan, OnlyAPlainRawFileCanBeGoneOnWith) {
  EXPECT_TRUE(plan({}, "out.img").can_be_resumed());
  EXPECT_FALSE(plan({}, "-").can_be_resumed());
  EXPECT_FALSE(plan({}, "out.qcow2").can_be_resumed());
  OutputOptions full;
  full.creation = {"preallocation=full"};
  EXPECT_FALSE(plan(full, "out.img").can_be_resumed());
}

}  // namespace
}  // namespace imgtool

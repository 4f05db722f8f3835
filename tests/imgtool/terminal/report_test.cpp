#include "imgtool/terminal/report.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <new>
#include <nlohmann/json.hpp>
#include <system_error>

#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

template <typename Exception>
Failure failure_of(Exception exception, int signal = 0) {
  return describe_failure(std::make_exception_ptr(std::move(exception)), signal);
}

TEST(DescribeFailure, MapsEveryKindToItsExitCode) {
  const auto error = [](io::ErrorKind kind) { return io::Error(kind, "a.img", "text"); };
  struct Row {
    io::ErrorKind kind;
    int exit_code;
    const char* name;
  };
  for (const Row& row :
       {Row{io::ErrorKind::system, 1, "system"}, Row{io::ErrorKind::format, 1, "format"},
        Row{io::ErrorKind::unsupported, 1, "unsupported"},
        Row{io::ErrorKind::refused, 3, "refused"}, Row{io::ErrorKind::mismatch, 4, "mismatch"},
        Row{io::ErrorKind::cancelled, 130, "cancelled"}}) {
    const Failure failure = failure_of(error(row.kind), SIGINT);
    EXPECT_EQ(failure.exit_code, row.exit_code);
    EXPECT_EQ(failure.kind, row.name);
    EXPECT_EQ(failure.message, "a.img: text");
    EXPECT_EQ(failure.path, "a.img");
  }
}

TEST(DescribeFailure, KnowsOtherExceptions) {
  EXPECT_EQ(failure_of(UsageError("x")).exit_code, exit_code::usage);
  EXPECT_EQ(failure_of(UsageError("x")).kind, "usage");
  EXPECT_EQ(failure_of(std::bad_alloc()).message, "out of memory");
  EXPECT_EQ(failure_of(std::system_error(EAGAIN, std::generic_category(), "start a thread")).kind,
            "system");
  EXPECT_EQ(failure_of(std::runtime_error("x")).kind, "internal");
  EXPECT_EQ(failure_of(std::runtime_error("x")).exit_code, exit_code::failed);
}

TEST(ErrorDocument, TellsPathAndOffsetWhereTheyAreKnown) {
  const Failure failure = failure_of(io::Error::system("read", "a.img", EIO, {{4096, 512}}));
  EXPECT_EQ(error_document(failure).text(-1),
            R"({"error":{"kind":"system","message":"a.img: read of 512 bytes at offset 4096: )"
            R"(Input/output error","path":"a.img","offset":4096}})");
  EXPECT_EQ(error_document(failure_of(UsageError("x"))).text(-1),
            R"({"error":{"kind":"usage","message":"x","path":null,"offset":null}})");
}

}  // namespace
}  // namespace imgtool

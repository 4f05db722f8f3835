#include "imgtool/terminal/report.hpp"

#include <fcntl.h>
#include <stdio_ext.h>

#include <cerrno>
#include <cstdio>
#include <new>
#include <ranges>
#include <system_error>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

// What a pipe takes as a whole or not at all. Of a longer write that a signal interrupts, a part
// is done: stdio goes on with the rest, and the signal is not noticed.
constexpr std::size_t atomic_bytes = 4096;

bool document_printed = false;
bool only_documents = false;

[[noreturn]] void throw_output_error() {
  // Who asked to stop while the reader waited is not told of a failure.
  if (errno == EINTR && stop_flag().load() != 0) {
    __fpurge(stdout);  // else exit() would wait for the reader once more
    throw io::Error(io::ErrorKind::cancelled, "standard output", "stopped");
  }
  throw io::Error::system("write", "standard output", errno);
}

std::string kind_name(io::ErrorKind kind) {
  switch (kind) {
    case io::ErrorKind::system:
      return "system";
    case io::ErrorKind::format:
      return "format";
    case io::ErrorKind::unsupported:
      return "unsupported";
    case io::ErrorKind::refused:
      return "refused";
    case io::ErrorKind::mismatch:
      return "mismatch";
    case io::ErrorKind::cancelled:
      return "cancelled";
  }
  return "internal";
}

void send(std::string_view text) {
  while (!text.empty()) {
    const auto piece = text.substr(0, atomic_bytes);
    if (std::fwrite(piece.data(), 1, piece.size(), stdout) != piece.size()) throw_output_error();
    text.remove_prefix(piece.size());
  }
}

}  // namespace

void print_only_documents() { only_documents = true; }

void print(std::string_view text) {
  if (!only_documents) send(text);
}

void print_beside(std::string_view image, std::string_view report) {
  if (image != "-" || only_documents) {
    print(report);
    return;
  }
  report.remove_suffix(1);
  for (const auto line : std::views::split(report, '\n')) {
    complain(std::string_view(line.begin(), line.end()));
  }
}

void print_json(const Json& document) { print_json_text(document.text(4) + '\n'); }

void print_json_text(std::string_view text) {
  document_printed = true;
  send(text);
}

void flush_output() {
  if (std::fflush(stdout) != 0) {
    throw_output_error();
  }
}

void complain(std::string_view text) {
  const std::string line = "imgtool: " + terminal_text(text) + '\n';
  std::fwrite(line.data(), 1, line.size(), stderr);
}

std::string json_string(std::string_view text) { return Json(text).text(-1); }

Failure describe_failure(const std::exception_ptr& exception, int signal) {
  try {
    std::rethrow_exception(exception);
  } catch (const UsageError& error) {
    return {exit_code::usage, "usage", error.what(), "", std::nullopt};
  } catch (const io::Error& error) {
    Failure failure{exit_code::of(error.kind(), signal), kind_name(error.kind()), error.what(),
                    error.path(), std::nullopt};
    if (error.range()) {
      failure.offset = error.range()->offset;
    }
    return failure;
  } catch (const std::bad_alloc&) {
    return {exit_code::failed, "system", "out of memory", "", std::nullopt};
  } catch (const std::system_error& error) {
    return {exit_code::failed, "system", error.what(), "", std::nullopt};
  } catch (const std::exception& error) {
    return {exit_code::failed, "internal", fmt::format("internal error: {}", error.what()), "",
            std::nullopt};
  }
}

Json error_document(const Failure& failure) {
  Json error;
  error["kind"] = failure.kind;
  error["message"] = failure.message;
  error["path"] = failure.path.empty() ? Json() : Json(failure.path);
  error["offset"] = failure.offset ? Json(*failure.offset) : Json();
  Json document;
  document["error"] = std::move(error);
  return document;
}

int report_failure(const Failure& failure, bool json) noexcept {
  try {
    complain(failure.message);
    if (json && !document_printed) {
      print_json(error_document(failure));
      flush_output();
    }
  } catch (const std::exception&) {
    // Standard output is gone, and standard error has been told what matters.
    return failure.exit_code;
  }
  return failure.exit_code;
}

void guard_standard_streams() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
      // The lowest free descriptor is this one. The wrong direction makes every use fail.
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
  }
}

}  // namespace imgtool

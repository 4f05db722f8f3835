// What a command says: results on standard output, everything else on standard error.
//
// With --json a command prints exactly one document, also when it fails. Text for a terminal
// goes through terminal_text() once, here or where names are put into a sentence; JSON carries
// names as they are, with bytes that are not UTF-8 replaced by U+FFFD.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>

#include "imgtool/terminal/json.hpp"

namespace imgtool {

// Ranges of a disk that a text lists; JSON has more.
inline constexpr std::size_t most_ranges_shown = 20;

// To standard output; buffered. Throws io::Error when it cannot be written: a result that
// did not arrive is a failure.
void print(std::string_view text);

// From now on print() drops what it is given: results that nobody asked to see. Documents, notes
// and errors stay.
void print_only_documents();

// A report that ends with a newline; on standard error, a line each, where the image itself goes to
// standard output.
void print_beside(std::string_view image, std::string_view report);

// The command's one document. Keys keep the order in which they were put in.
void print_json(const Json& document);

// A document, or a part of one, that is text already.
void print_json_text(std::string_view text);

// Makes sure that all that was printed arrived; main() calls it before it says "done".
void flush_output();

// One line on standard error: "imgtool: TEXT".
void complain(std::string_view text);

// `text` as a JSON string with its quotes, in ASCII.
std::string json_string(std::string_view text);

// A failure as both kinds of reader want it.
struct Failure {
  int exit_code;
  std::string kind;  // io::ErrorKind's name, "usage" or "internal"
  std::string message;
  std::string path;                     // empty: about no file
  std::optional<std::uint64_t> offset;  // in `path`
};

// What `exception` means; `signal` is the one that asked us to stop, or 0.
Failure describe_failure(const std::exception_ptr& exception, int signal);

// {"error": {"kind", "message", "path", "offset"}}; what is unknown is null.
Json error_document(const Failure& failure);

// Complains, and with `json` also prints the document unless one was printed already.
// Never throws: a caller that reads neither stream still gets the exit code.
int report_failure(const Failure& failure, bool json) noexcept;

// Opens /dev/null in place of standard streams that the caller closed, so that no image is ever
// opened as descriptor 0, 1 or 2; writing to one of these still fails.
void guard_standard_streams();

}  // namespace imgtool

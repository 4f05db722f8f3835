// Where the system's own file systems are, and the small reads that devices are found with.
//
// Tests move the roots to a tree of ordinary files; a container may have the host's trees
// mounted elsewhere. Nothing here throws: an attribute that is not there is an answer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace io {

struct SystemRoots {
  std::string sys = "/sys";
  std::string dev = "/dev";
  std::string proc = "/proc";
  std::string run = "/run";

  // Nodes below an injected `dev` may be ordinary files that stand for devices.
  [[nodiscard]] bool dev_is_real() const { return dev == "/dev"; }
  // "/dev/sda" as others spell it (mountinfo, swaps), below our `dev`.
  [[nodiscard]] std::string in_dev(std::string_view path) const;
};

// These give nothing for what is not there, or not for us to see. They throw Error where it cannot
// be found out (EIO, too many open files): a disk in use would pass for a free one. That a single
// attribute cannot be read once it is open is its driver's business, and gives nothing.

// The whole file, as it is; at most `limit` bytes.
std::optional<std::string> read_bytes(const std::string& path, std::size_t limit = 1 << 20);
// The same of what decides who uses a disk: here every failure to read is one.
std::optional<std::string> read_surely(const std::string& path, std::size_t limit = 1 << 20);
// Throws where errno, after `what` failed, does not say whether `path` is there.
void throw_if_unknown(const char* what, const std::string& path);
// One attribute that is a name: exactly one newline at the end is dropped, since a name may end
// in spaces or newlines of its own.
std::optional<std::string> name_from(std::optional<std::string> bytes);
std::optional<std::string> read_name(const std::string& path);
// One attribute that is text padded by hardware: blanks and NULs at both ends are dropped.
// "" when it is missing.
std::string read_text(const std::string& path);
// A decimal number; nothing when it is missing or something else.
std::optional<std::uint64_t> read_number(const std::string& path);

// Names in a folder, without "." and "..", in the kernel's order.
std::vector<std::string> names_in(const std::string& folder);
// Where a link points, unresolved; nothing when it is no link.
std::optional<std::string> link_text(const std::string& path);
// The path without links, "." and ".."; nothing when it leads nowhere.
std::optional<std::string> canonical(const std::string& path);
bool exists(const std::string& path);

std::string trimmed(std::string_view text);
std::vector<std::string_view> split(std::string_view text, char separator);
std::optional<std::uint64_t> parse_number(std::string_view text);

}  // namespace io

#include "formats/images/reference.hpp"

#include <algorithm>
#include <string_view>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/block_formats.hpp"
#include "formats/images/foreign.hpp"
#include "formats/images/probe.hpp"
#include "io/error.hpp"

namespace formats {
namespace {

constexpr std::size_t longest_chain = 200;

// qemu's rule: a colon before the first slash.
bool has_scheme(const std::string& name) {
  const std::size_t found = name.find_first_of(":/");
  return found != std::string::npos && name[found] == ':';
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

// The content of a file whose format is not stated is not to be trusted: a guest can make a raw
// disk look like an image that names any file of the host.
Format format_of_reference(const std::string& from, const io::File& file,
                           const std::string& stated) {
  if (!stated.empty()) {
    const auto format = format_named(stated);
    if (format == Format::raw || format == Format::qcow2 || (format && is_block_format(*format))) {
      return *format;
    }
    throw io::Error(io::ErrorKind::unsupported, from,
                    fmt::format("names a file of format '{}', which is not known here", stated));
  }
  const Format found = probe(file);
  if (found == Format::raw) return found;
  throw io::Error(io::ErrorKind::refused, from,
                  fmt::format("does not say which format {} has, and it looks like {}; if that is "
                              "right, say so with qemu-img rebase -u -F {} -b",
                              file.path(), name_of(found), name_of(found)));
}

}  // namespace

void refuse_special_name(const std::string& from, const std::string& name) {
  std::string_view fault;
  if (name.empty()) {
    fault = "is empty";
  } else if (std::any_of(name.begin(), name.end(), is_control)) {
    fault = "has control characters";
  } else if (has_scheme(name)) {
    fault = "is not a plain file name";
  }
  if (fault.empty()) return;
  throw io::Error(io::ErrorKind::refused, from,
                  fmt::format("needs another file, whose name '{}' {}", name, fault));
}

std::string reference_path(const std::string& image_path, const std::string& name) {
  if (name.empty() || name.front() == '/' || has_scheme(name)) return name;
  return image_path.substr(0, image_path.rfind('/') + 1) + name;
}

FormattedFile ReferenceChain::begin(io::File file, std::optional<Format> format) {
  FormattedFile first{std::move(file)};
  first.format = format ? *format : probe(first.file);
  const bool guessed_raw = !format && first.format == Format::raw;
  if (guessed_raw && first.file.status().kind == io::FileKind::regular) {
    if (const auto kind = recognise_foreign(first.file)) refuse_foreign(first.file.path(), *kind);
  }
  files_.push_back(first.file.status().identity);
  return first;
}

void ReferenceChain::add(const std::string& from, const std::string& path,
                         const io::FileStatus& status) {
  if (files_.size() >= longest_chain) {
    throw io::Error(
        io::ErrorKind::refused, from,
        fmt::format("is the {}th file of a chain of images; that is too many", longest_chain));
  }
  if (std::find(files_.begin(), files_.end(), status.identity) != files_.end()) {
    throw io::Error(io::ErrorKind::format, from,
                    fmt::format("names {}, which is part of the same chain already", path));
  }
  files_.push_back(status.identity);
}

FormattedFile ReferenceChain::open_next(const std::string& from, const std::string& name,
                                        const std::string& stated_format) {
  refuse_special_name(from, name);
  const std::string path = reference_path(from, name);
  const io::FileStatus status = io::status_of(path);
  if (status.kind != io::FileKind::regular && status.kind != io::FileKind::block_device) {
    throw io::Error(io::ErrorKind::refused, from,
                    fmt::format("names {}, which is neither a file nor a block device", path));
  }
  add(from, path, status);
  FormattedFile next{io::File(path, O_RDONLY)};
  next.format = format_of_reference(from, next.file, stated_format);
  return next;
}

FormattedFile ReferenceChain::open_beside(const std::string& from, const std::string& name,
                                          Format format) {
  refuse_special_name(from, name);
  if (name == "." || name == ".." || name.find('/') != std::string::npos) {
    throw io::Error::refusal(
        from, fmt::format("needs another file, '{}', which is not in its own folder", name));
  }
  const std::string path = reference_path(from, name);
  // Nothing is opened that could wait, and no link is followed out of the folder.
  FormattedFile next{io::File(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK), format};
  const io::FileStatus status = next.file.status();
  if (status.kind != io::FileKind::regular) {
    throw io::Error::refusal(from, fmt::format("names {}, which is not a regular file", path));
  }
  add(from, path, status);
  if (format != Format::raw && probe(next.file) != format) {
    throw io::Error::format(
        from, 0, fmt::format("names {} as its parent, which is not {}", path, name_of(format)));
  }
  return next;
}

}  // namespace formats

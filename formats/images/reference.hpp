// Names of other files inside images. An image may come from anywhere, so a name in it is only
// a wish: here is decided what it would mean, and what of it is opened when the user allowed
// that at all.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "formats/images/format.hpp"
#include "io/file.hpp"

namespace formats {

// `name` as the path it means in an image at `image_path`: relative names start at the image's
// directory. Names of protocols ("nbd://host", "json:{...}") stay as they are.
std::string reference_path(const std::string& image_path, const std::string& name);

// Throws ErrorKind::refused, about `from`, when no program could open the file by this name in an
// image: only plain names are opened.
void refuse_special_name(const std::string& from, const std::string& name);

// A file whose format is settled.
struct FormattedFile {
  io::File file;
  Format format = Format::raw;
};

// The files of one chain, from the image that was asked for to the one that was opened last.
class ReferenceChain {
 public:
  // With the image that was asked for. Without `format` its content decides.
  FormattedFile begin(io::File file, std::optional<Format> format);

  // Opens what the image opened last (at `from`) names; `stated_format` is what it says about
  // that file's format, or empty. Throws Error, before the file is opened, when the name is not
  // a plain one, when it leads to neither a file nor a block device, when the file is part of
  // the chain already, and when the chain gets too long.
  FormattedFile open_next(const std::string& from, const std::string& name,
                          const std::string& stated_format);

  // The same of a file in the folder of `from`, whose name is one part of a path, and which is a
  // regular file, not a link; it has to be of this format.
  FormattedFile open_beside(const std::string& from, const std::string& name, Format format);

  // Goes back by one: what is opened next is named by the image before.
  void leave() { files_.pop_back(); }

 private:
  // `path` is open already. Throws when it may not be the next one.
  void add(const std::string& from, const std::string& path, const io::FileStatus& status);

  std::vector<io::FileIdentity> files_;
};

}  // namespace formats

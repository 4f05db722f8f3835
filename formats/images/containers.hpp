// Opens what holds an image: archives and compressed streams, in files and pipes, one inside the
// other. What is inside is looked at as a file is: by its content.
//
// A member that is stored as it is becomes a file of its own, a window on the archive. What is
// packed is read front to back where its format can be (a raw disk, a streamed VMDK, a fixed VHD)
// and OpenOptions::any_place is not set; else it is unpacked into a file without a name first.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/contained_image.hpp"
#include "formats/images/image.hpp"
#include "formats/images/streams/peek_stream.hpp"
#include "formats/images/streams/stream_image.hpp"

namespace formats {

class Containers {
 public:
  // Opens a file that holds an image, or a further container; without a format its content decides.
  using OpenFile =
      std::function<std::unique_ptr<Image>(io::File file, std::optional<Format> format)>;

  // `options` outlives it.
  Containers(io::Ring& ring, const OpenOptions& options, OpenFile open_file)
      : ring_(ring), options_(options), open_file_(std::move(open_file)) {}

  // `format` is an archive or a stream. Throws Error.
  std::unique_ptr<Image> open(io::File file, Format format);
  // See open_stream() in formats/images/image.hpp.
  std::unique_ptr<Image> open_pipe(io::File pipe, Format format, std::vector<std::byte> start);

  // Throws ErrorKind::refused where a member was asked for, but there was no archive.
  void check_member_was_found(const std::string& path) const;

 private:
  // What is being unwrapped.
  struct Stream {
    std::unique_ptr<streams::PeekStream> bytes;
    std::optional<std::uint64_t> size;
    std::string name;     // for messages
    std::string label;    // a name with the suffix that the content would have
    std::string place;    // " inside gz"
    bool stated = false;  // the user says what it is: what is inside is the disk's bytes
  };

  void go_deeper(const std::string& name);
  std::unique_ptr<Image> open_zip(io::File file);
  std::unique_ptr<Image> open_tar(io::File file);
  std::unique_ptr<Image> open_window(io::File file, Format format, io::ByteRange range,
                                     const std::string& name,
                                     std::unique_ptr<archives::ContentCheck> check);
  std::unique_ptr<Image> open_packed(io::File file, Format format);
  [[nodiscard]] bool is_raw_disk(Image& image);

  [[nodiscard]] static Format format_in(Stream& stream);
  // `holder` is the file that it comes from.
  std::unique_ptr<Image> open_stream(Stream stream, Format format,
                                     std::unique_ptr<io::File> holder);
  // One layer off. False: it is the innermost.
  bool unwrap(Stream& stream, Format found);
  std::unique_ptr<Image> open_innermost(Stream stream, Format found, Format format,
                                        std::unique_ptr<io::File> holder);
  [[nodiscard]] streams::Content disk_of(Stream stream, Format found) const;

  io::Ring& ring_;
  const OpenOptions& options_;
  OpenFile open_file_;
  unsigned depth_ = 0;
  bool member_was_found_ = false;
};

}  // namespace formats

// A compressed file, a member of an archive or a pipe as an image that is read once, front to back.
//
// One thread decodes, straight into the buffers of the lanes that wait: what is decoded ahead is
// bounded by them. A checksum that stands behind the content it covers has spoken only when the
// end was read, so nothing may be called complete before that.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "formats/images/image.hpp"
#include "io/byte_stream.hpp"
#include "io/task_group.hpp"

namespace formats::streams {

// A disk's bytes, front to back.
struct Content {
  std::unique_ptr<io::ByteStream> bytes;
  // Of all of them, where that is said beforehand; it is an error when it is not true.
  std::optional<std::uint64_t> size{};
};

class StreamImage final : public Image {
 public:
  // `content` is made of `file`, which it may refer to.
  StreamImage(io::Ring& ring, std::unique_ptr<io::File> file, Format format, Content content);

  [[nodiscard]] const std::string& name() const override { return file_->path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] bool seekable() const override { return false; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return format_; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return 1; }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override { return {file_.get()}; }

 private:
  std::size_t decode(std::span<std::byte> out);
  void check_size(bool at_end);

  io::Ring& ring_;
  std::unique_ptr<io::File> file_;
  Format format_;
  std::optional<std::uint64_t> stated_size_;

  // The decoding thread's.
  std::unique_ptr<io::ByteStream> content_;
  std::uint64_t decoded_ = 0;
  bool broken_ = false;

  // The ring thread's.
  io::WaitList turns_;
  std::uint64_t handed_out_ = 0;  // ranges up to here wait for the decoder, or have their bytes
  bool ended_ = false;
  std::optional<std::uint64_t> size_;
  io::WorkerPool thread_{1};
};

// That of a regular file of that format, from its headers and indexes alone; nothing where they do
// not tell.
[[nodiscard]] std::optional<std::uint64_t> stated_content_size(const io::File& file, Format format);

}  // namespace formats::streams

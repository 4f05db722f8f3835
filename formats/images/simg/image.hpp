// An Android sparse image as an image: random access by its chunks.
#pragma once

#include <memory>
#include <string>

#include "formats/images/image.hpp"
#include "formats/images/simg/layout.hpp"
#include "io/file_source.hpp"

namespace formats::simg {

class SimgImage final : public Image {
 public:
  // Throws Error. Where the image has checksums, all of it is read here to check them, unless
  // only its layout is wanted: they cover the disk from its start, so nothing less tells.
  SimgImage(io::Ring& ring, io::File file, const OpenOptions& options);

  [[nodiscard]] const std::string& name() const override { return file_.path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return layout_.content_size; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] const std::vector<Chunk>& chunks() const noexcept { return layout_.chunks; }

  [[nodiscard]] Format format() const override { return Format::simg; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return 1; }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override { return {&file_}; }

 private:
  [[nodiscard]] std::size_t chunk_at(std::uint64_t offset);
  void check_checksums(const io::StopFlag* stop) const;

  io::File file_;
  Layout layout_;
  io::FileSource stored_;
  std::size_t last_chunk_ = 0;  // that was looked for
};

}  // namespace formats::simg

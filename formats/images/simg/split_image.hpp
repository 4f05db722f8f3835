// An Android sparse image that was split into several files, as one: each has the size of the whole
// disk and stores a part of it ("super.img.0", "super.img.1" ...; "super_1.img", "super_2.img"
// ...).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "formats/images/simg/image.hpp"

namespace formats::simg {

// The names of the parts behind the first one, in order, as far as there are such files; none where
// `path` is not named as the first of several.
[[nodiscard]] std::vector<std::string> further_parts(const std::string& path);

class SplitImage final : public Image {
 public:
  // Two or more. Throws Error where their sizes differ, or two of them store the same place.
  explicit SplitImage(std::vector<std::unique_ptr<SimgImage>> parts);

  [[nodiscard]] const std::string& name() const override { return parts_.front()->name(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return size_; }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return Format::simg; }
  [[nodiscard]] std::uint64_t cluster_size() const override { return 1; }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override;

 private:
  static constexpr std::size_t none = ~std::size_t{0};

  // Which part stores what is at `offset`, or none; and how far that goes.
  struct Piece {
    std::size_t part = none;
    io::ByteRange range;
  };
  [[nodiscard]] const Piece& piece_at(std::uint64_t offset) const;
  void check_sizes() const;

  std::vector<std::unique_ptr<SimgImage>> parts_;
  std::uint64_t size_;
  std::vector<Piece> pieces_;  // ascending, without a gap
};

}  // namespace formats::simg

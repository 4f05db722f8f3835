// The disk of a qcow2 image that exists, as a target of guest content.
//
// Chunks come in any order and are written in ascending order, one after the other: DiskEditor
// blocks. Until finish() the image has its old tables.
#pragma once

#include <span>
#include <string>

#include "formats/images/image_target.hpp"
#include "formats/images/qcow2/disk_editor.hpp"
#include "io/file.hpp"
#include "io/sequencer.hpp"
#include "io/source.hpp"

namespace formats::qcow2 {

class DiskTarget final : public ImageTarget {
 public:
  // `file` is what DiskEditor wants, `header` its header. `now`: the disk as it is, for the rest of
  // a cluster of which only the beginning is written; null where nothing ends inside one, but for
  // the disk itself. `starts_as_zeros`: the caller says so, and
  // zeros are not written. All of them outlive the target, but for `header`. Throws Error.
  DiskTarget(io::Ring& ring, const io::File& file, const Header& header, io::Source* now,
             bool starts_as_zeros);

  [[nodiscard]] const std::string& name() const override { return file_.path(); }
  [[nodiscard]] std::uint64_t capacity() const override { return size_; }
  [[nodiscard]] std::uint64_t zero_grain() const override { return cluster_size_; }
  [[nodiscard]] std::uint64_t granularity() const override { return cluster_size_; }
  io::Task<> write(std::uint64_t offset, io::Buffer buffer) override;
  io::Task<> zero(io::ByteRange range) override;
  io::Task<> flush() override { co_return; }  // finish() does
  void abandon() override { sequencer_.abandon(); }
  io::Task<> finish() override;
  [[nodiscard]] std::uint64_t content_bytes() const override { return editor_.data_bytes(); }
  [[nodiscard]] std::uint64_t file_bytes() const override { return file_.size(); }

 private:
  io::Task<> write_piece(std::uint64_t offset, std::span<const std::byte> content);

  const io::File& file_;
  io::Source* now_;
  const std::uint64_t size_;
  const std::uint64_t cluster_size_;
  const bool starts_as_zeros_;
  DiskEditor editor_;
  io::Sequencer sequencer_;
};

}  // namespace formats::qcow2

// The guest's disk of a qcow2 image, as a source.
//
// What is stored plainly is read from its place straight into the caller's buffer, several places
// at once; compressed clusters are read in the order in which they lie in the file, many with one
// request. Data whose place is past the end of the file is an error: qemu reads zeros there, which
// would make a truncated image look whole. Only the last cluster of a file may be cut short by
// its writer, and reads as zeros from there on.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "formats/images/image.hpp"
#include "formats/images/qcow2/mapping.hpp"
#include "formats/images/qcow2/snapshots.hpp"
#include "formats/images/read_plan.hpp"
#include "io/file.hpp"
#include "io/file_source.hpp"

namespace formats::qcow2 {

// Opens what an image names. `format` is what the image says that file's format is, or empty.
using ReferenceOpener =
    std::function<std::unique_ptr<Image>(const std::string& name, const std::string& format)>;

struct ReaderOptions {
  ReferenceOpener open_reference;     // empty: references are not followed
  bool layout_only = false;           // see OpenOptions
  std::string snapshot;               // likewise
  bool direct = false;                // what is stored plainly is read past the page cache
  io::WorkerPool* workers = nullptr;  // likewise
};

class Qcow2Image final : public Image {
 public:
  // Throws Error.
  Qcow2Image(io::Ring& ring, io::File file, const ReaderOptions& options);

  [[nodiscard]] const std::string& name() const override { return file_.path(); }
  [[nodiscard]] std::optional<std::uint64_t> size() const override { return mapping_.guest_size(); }
  [[nodiscard]] io::Extent extent_at(std::uint64_t offset) override;
  io::Task<std::size_t> read(io::ByteRange range, io::Buffer buffer) override;

  [[nodiscard]] Format format() const override { return Format::qcow2; }
  [[nodiscard]] std::uint64_t cluster_size() const override {
    return header_.geometry.cluster_size();
  }
  [[nodiscard]] Placement placement_at(std::uint64_t offset) override;
  [[nodiscard]] std::vector<const io::File*> files() const override;

 private:
  [[nodiscard]] Mapping make_mapping(const std::string& snapshot);
  void open_references(const ReaderOptions& options);
  [[nodiscard]] io::Extent find_extent(std::uint64_t offset);
  [[nodiscard]] io::Extent extent_of(const Run& run);
  [[nodiscard]] Placement backing_placement(const Run& run);
  [[nodiscard]] bool preallocated();

  [[nodiscard]] ReadPlan plan_read(io::ByteRange range, io::Buffer buffer);
  void plan_run(const Run& run, io::Buffer buffer, ReadPlan& plan);
  void refuse_past_end(const Run& run) const;
  void decode(const PackedBlock& block, std::span<const std::byte> stream) const;

  io::Ring& ring_;
  io::WorkerPool* workers_;
  io::File file_;
  TableReader tables_;
  Header header_;
  Mapping mapping_;
  io::FileSource stored_;  // the image file itself
  io::File direct_file_;   // the same, past the page cache; or not open
  std::optional<io::FileSource> direct_;
  ReadPlan::Decode decode_;
  std::unique_ptr<Image> data_file_;  // external data
  std::unique_ptr<Image> backing_;
  io::Source* data_ = &stored_;  // where RunKind::data is
  io::Extent last_extent_{};
  std::optional<bool> preallocated_;
};

}  // namespace formats::qcow2

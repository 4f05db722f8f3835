// The image that a job writes: an OutputPlan carried out at a Destination.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/images/image_target.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "formats/images/streams/target.hpp"
#include "formats/images/vmdk/target.hpp"
#include "formats/images/zst/target.hpp"
#include "imgtool/jobs/destination.hpp"
#include "imgtool/jobs/output_plan.hpp"
#include "io/copier.hpp"
#include "io/error.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

class ImageOutput {
 public:
  // Checks and opens; nothing that was there is changed when it throws. `size` is that of the
  // disk in bytes, nothing for a stream; `sources` are paths of what is read meanwhile; `backing`
  // is the content of the plan's backing file, or null. `ring`, `workers`, `backing` and `stop`
  // outlive it.
  ImageOutput(io::Ring& ring, OutputPlan plan, std::optional<std::uint64_t> size,
              const std::vector<std::string>& sources, io::WorkerPool& workers, io::Source* backing,
              const io::StopFlag& stop);

  [[nodiscard]] const OutputPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] bool encodes() const noexcept {
    return plan_.codec || is_always_compressed(plan_.format);
  }
  [[nodiscard]] std::vector<std::string> disks() const { return destination_->disks(); }
  [[nodiscard]] std::vector<io::QueueLimits> queues() const { return destination_->queues(); }
  // The new file, under its partial name until publish(); null in place and for a pipe.
  [[nodiscard]] io::File* file() const { return destination_->file(); }

  // Makes the target; once. Throws io::Error.
  void start();
  // After start():
  [[nodiscard]] io::Target& target();
  // Makes chunks whole clusters, and lanes as many as keep `threads` at work.
  void tune_for(io::CopyOptions& options, unsigned threads) const;

  // All `size` bytes are written: tables, flush, final name. Gives a remark worth telling, or "".
  std::string finish(std::uint64_t size);
  // The same in two steps, between which a new file can be read under its partial name: all is
  // written; it gets its name.
  void complete();
  std::string publish(std::uint64_t size);
  // Whether a new file that is not complete is left for a later run that resumes.
  void keep_partial(bool keep) { destination_->keep_partial(keep); }

  // After complete(), or after a failure so far; nothing where the target does not say.
  [[nodiscard]] std::optional<std::uint64_t> content_bytes() const;
  [[nodiscard]] std::optional<std::uint64_t> file_bytes() const;

  // What to tell of `error`, which ended `copy`: where the new file's file system is full, also
  // how far it came and about how much is missing; every other error as it is. `size` is that of
  // the disk.
  [[nodiscard]] io::Error explained(const io::Error& error, const io::CopyTarget& copy,
                                    std::optional<std::uint64_t> size) const;

 private:
  [[nodiscard]] std::unique_ptr<formats::ImageTarget> make_target(io::File& file) const;
  [[nodiscard]] std::unique_ptr<formats::streams::Encoder> make_encoder() const;
  [[nodiscard]] std::unique_ptr<formats::ImageTarget> make_image(io::Target& place) const;
  [[nodiscard]] formats::qcow2::WriterOptions qcow2_options() const;
  [[nodiscard]] formats::zst::ZstOptions zst_options() const;
  [[nodiscard]] formats::streams::StreamTargetOptions stream_options() const;
  [[nodiscard]] formats::vmdk::StreamOptions vmdk_options() const;

  io::Ring& ring_;
  const OutputPlan plan_;
  std::optional<std::uint64_t> size_;
  io::WorkerPool& workers_;
  io::Source* backing_;
  const io::StopFlag& stop_;
  std::unique_ptr<Destination> destination_;
  std::unique_ptr<formats::ImageTarget> image_;  // into a new file
  io::Target* target_ = nullptr;                 // image_, or the destination's own
};

}  // namespace imgtool

// The image that a command writes: what the user wants it to be, and where it goes.
//
// A new file gets its name when it is complete; a disk, or with -n a file that is there, is
// written in place, with burn's checks; "-" is standard output.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "formats/image.hpp"
#include "formats/image_target.hpp"
#include "formats/qcow2/writer.hpp"
#include "formats/raw_target.hpp"
#include "imgtool/burn_target.hpp"
#include "imgtool/options.hpp"
#include "io/copier.hpp"
#include "io/device_inventory.hpp"
#include "io/observer.hpp"
#include "io/output_file.hpp"
#include "io/pipe_target.hpp"
#include "io/worker_pool.hpp"

namespace imgtool {

// For --threads. Sets `threads` to one per core, which holds unless the user says otherwise.
OptionValue threads_into(unsigned& threads);

// As given on the command line.
struct OutputOptions {
  std::optional<formats::Format> format;  // nothing: the name's suffix decides
  bool compress = false;
  std::optional<formats::qcow2::Compression> codec;
  std::optional<unsigned> level;
  bool small_window = false;
  std::vector<std::string> creation;  // -o: "key=value,key=value"
  bool takes_backing = false;         // whether the command makes images with a backing file
  std::optional<std::string> backing;
  std::optional<formats::Format> backing_format;
  std::uint64_t smallest_hole = 4 * io::KiB;
  bool existing = false;  // -n
  bool target_is_zero = false;
  bool force = false;
};

// raw|qcow2.
OptionValue output_format_into(std::optional<formats::Format>& format);
// -O, -c, --codec, --level, --deflate-window, -o. `options.takes_backing` is set before.
void output_options(CommandLine& line, OutputOptions& options);
// -o alone, in the same way.
void creation_option(CommandLine& line, OutputOptions& options);
// -B and -F.
void backing_options(CommandLine& line, OutputOptions& options);

// The options understood, and found to fit together.
struct OutputPlan {
  std::string path;
  formats::Format format = formats::Format::raw;
  bool format_stated = false;                  // by -O, not by a name
  formats::qcow2::CreateOptions create;        // of qcow2
  std::optional<formats::qcow2::Codec> codec;  // of qcow2; nothing: not compressed
  int zst_level = 3;                           // of zst
  formats::qcow2::Preallocation preallocation = formats::qcow2::Preallocation::off;
  std::uint64_t smallest_hole = 4 * io::KiB;  // of raw
  bool existing = false;
  bool target_is_zero = false;
  bool force = false;
};

// `size` is that of the disk, where it is known. What -o says of codec and backing file goes into
// `options`. Throws UsageError.
OutputPlan plan_output(OutputOptions& options, const std::string& path,
                       std::optional<std::uint64_t> size);
// To be called when the plan names its backing file. Throws UsageError.
void check_plan(const OutputPlan& plan, std::optional<std::uint64_t> size);

class ImageOutput {
 public:
  // Checks and opens; nothing that was there is changed when it throws. `sources` are paths of
  // what is read meanwhile; `backing` is the content of the plan's backing file, or null. `ring`,
  // `workers`, `backing` and `stop` outlive it.
  ImageOutput(io::Ring& ring, OutputPlan plan, std::optional<std::uint64_t> size,
              const std::vector<std::string>& sources, io::WorkerPool& workers, io::Source* backing,
              const io::StopFlag& stop);

  [[nodiscard]] const OutputPlan& plan() const noexcept { return plan_; }
  [[nodiscard]] bool encodes() const noexcept {
    return plan_.codec || plan_.format == formats::Format::zst;
  }
  // Disks that will be overwritten, for confirm().
  [[nodiscard]] std::vector<std::string> disks() const;
  // Their queues, for choose_copy_options().
  [[nodiscard]] std::vector<io::QueueLimits> queues() const;
  // Of the new image's disk, for `size` bytes of content: qcow2 fills the last sector up.
  [[nodiscard]] std::uint64_t disk_size(std::uint64_t size) const;

  // Makes the target. Throws io::Error.
  void start();
  [[nodiscard]] io::Target& target() { return *target_; }
  // Makes chunks whole clusters, and lanes as many as keep `threads` at work. After start().
  void suit(io::CopyOptions& options, unsigned threads) const;

  // All `size` bytes are written: tables, flush, final name. Gives a remark worth telling, or "".
  std::string finish(std::uint64_t size);
  // The same in two steps for a new file, between which it can be read under its partial name:
  // all is written; it gets its name.
  void complete();
  void publish();
  [[nodiscard]] const std::string& partial_path() const { return file_->partial_path(); }

  // After finish(), or after a failure so far; nothing where the target does not say.
  [[nodiscard]] std::optional<std::uint64_t> content_bytes() const;
  [[nodiscard]] std::optional<std::uint64_t> file_bytes() const;

 private:
  void open(const std::vector<std::string>& sources);
  void open_in_place(const std::vector<std::string>& sources);
  void refuse_other_content() const;
  void start_file();

  io::Ring& ring_;
  OutputPlan plan_;
  std::optional<std::uint64_t> size_;
  io::WorkerPool& workers_;
  io::Source* backing_;
  const io::StopFlag& stop_;
  io::File pipe_;
  std::unique_ptr<io::OutputFile> file_;
  std::unique_ptr<BurnTarget> in_place_;
  std::unique_ptr<io::PipeTarget> pipe_target_;
  std::unique_ptr<formats::ImageTarget> image_;
  io::Target* target_ = nullptr;
};

// Standard output as a file. Refuses a terminal.
io::File standard_output();

}  // namespace imgtool

// The whole of `imgtool shrink` and `imgtool sparsify`, step by step:
//
//   ShrinkJob job(ring, options, steps);   // opens and refuses; nothing is made yet
//   job.look();                            // chooses the engine, measures: the plan
//   job.work();                            // file systems, in an overlay
//   job.write(progress);                   // one pass into the new image
//   job.verify();                          // what was written; then it gets its name
//
// The source is opened for reading only. Until verify() has ended there is nothing under the
// output's name; what is under way goes when the job does, whatever happened.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "formats/images/image.hpp"
#include "imgtool/guest/appliance.hpp"
#include "imgtool/guest/box.hpp"
#include "imgtool/guest/content.hpp"
#include "imgtool/guest/direct_work.hpp"
#include "imgtool/guest/engine.hpp"
#include "imgtool/guest/plan.hpp"
#include "imgtool/guest/shrink_options.hpp"
#include "imgtool/guest/source_disk.hpp"
#include "imgtool/guest/steps.hpp"
#include "imgtool/guest/work_folder.hpp"
#include "imgtool/jobs/image_output.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "io/copier.hpp"
#include "io/overlay_source.hpp"
#include "io/ring.hpp"
#include "io/worker_pool.hpp"
#include "io/zero_ranges.hpp"

namespace imgtool::guest {

struct Written {
  formats::Format format = formats::Format::raw;
  std::uint64_t data_bytes = 0;
  std::optional<std::uint64_t> file_bytes;
};

class ShrinkJob {
 public:
  // Throws io::Error and UsageError. `ring`, `options` and `steps` outlive it.
  ShrinkJob(io::Ring& ring, ShrinkOptions& options, Steps& steps);

  void look();
  void work();
  void write(io::CopyObserver& observer);
  void verify();

  [[nodiscard]] const Plan& plan() const noexcept { return plan_; }
  // Whether the plan makes anything of the disk smaller.
  [[nodiscard]] bool saves_anything() const;
  [[nodiscard]] const Written& written() const noexcept { return written_; }

 private:
  void check_target() const;
  void refuse_output() const;
  void make_qcow2(const std::string& path, bool over_source);
  [[nodiscard]] ApplianceOptions appliance_options() const;
  void use(const EngineUse& engine);
  void make_folder();
  void launch();
  void prepare_direct_work();
  // Also tells the volumes where they are in it.
  [[nodiscard]] ApplianceContext testbed(Appliance& appliance);
  [[nodiscard]] ApplianceContext testbed(Shell& shell);
  [[nodiscard]] ApplianceContext testbed();
  // Does `work`, and where a program died in it, all from the start again in the appliance.
  template <typename F>
  void work_or_start_again(const F& work);
  void start_again(const ProgramDied& died);
  void measure_all();
  void check_same_sizes();
  void update_plan(io::Source& disk);
  void check_room();
  void refuse_by_strictness() const;
  [[nodiscard]] std::vector<io::ByteRange> kept_ranges() const;
  void find_free_space(io::Source& disk);
  [[nodiscard]] std::vector<io::Patch> without_dirty_marks(io::Source& disk);
  [[nodiscard]] std::uint64_t cluster_size() const;
  void open_result();
  void open_output();
  void verify_on_host();
  void verify_table(const formats::partitions::Layout& layout) const;
  void verify_sizes(formats::DiskView& view, const formats::partitions::Layout& layout);
  void verify_by_programs();
  void verify_in_boxes();
  void verify_in_appliance();

  io::Ring& ring_;
  ShrinkOptions& options_;
  Steps& steps_;
  io::WorkerPool workers_;
  SourceDisk source_;
  Plan plan_;
  std::unique_ptr<WorkFolder> folder_;
  std::unique_ptr<Appliance> appliance_;
  bool has_scratch_ = false;  // the appliance's second drive
  Box box_;
  bool is_direct_ = false;
  std::unique_ptr<DirectWork> direct_;
  // The disk as the appliance left it, or direct_'s; the same in its new places; without free
  // space.
  std::unique_ptr<formats::Image> overlay_;
  std::unique_ptr<io::Source> relaid_;
  std::unique_ptr<io::ZeroRanges> result_;
  std::unique_ptr<ImageOutput> output_;
  Written written_;
};

}  // namespace imgtool::guest

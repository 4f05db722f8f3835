#include "imgtool/guest/shrink_job.hpp"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include "formats/disks/filesystems/ntfs.hpp"
#include "formats/disks/free_space.hpp"
#include "formats/images/qcow2/writer.hpp"
#include "imgtool/guest/host_findings.hpp"
#include "imgtool/guest/trouble.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"
#include "io/task_group.hpp"

namespace imgtool::guest {
namespace {

using formats::Format;

// Room for the overlay, beside what is moved: tables, journals, what a mount writes.
constexpr std::uint64_t spare_room = 64 * io::MiB;
constexpr const char* overlay_name = "overlay.qcow2";
constexpr const char* scratch_name = "scratch.qcow2";
constexpr const char* direct_name = "scratch.raw";

std::string folder_of(const std::string& path) {
  const auto folder = std::filesystem::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

}  // namespace

ShrinkJob::ShrinkJob(io::Ring& ring, ShrinkOptions& options, Steps& steps)
    : ring_(ring),
      options_(options),
      steps_(steps),
      workers_(options.threads),
      source_(ring, options),
      box_(ring, stop_flag()) {
  if (!options_.output.empty()) check_target();
  if (!options_.plan_only) refuse_output();
  plan_.source = options_.source;
  plan_.old_size = plan_.new_size = source_.size();
  plan_.has_table = source_.layout().kind != formats::partitions::TableKind::none;
  plan_.volumes = source_.volumes();
}

// Whether the options fit together, before any work. The new disk's size is not known yet: whether
// it fits its format is looked at again when it is.
void ShrinkJob::check_target() const {
  if (options_.output == "-") throw UsageError("DST: the new image needs a file of its own");
  constexpr std::uint64_t some_size = 0;
  const OutputPlan plan = plan_output(options_.target, options_.output, some_size);
  if (formats::is_stream(plan.format) && plan.format != Format::zst) {
    throw UsageError(
        fmt::format("DST: a {} file cannot be read again at any place, to verify it; "
                    "use zst or qcow2, or convert the result",
                    formats::name_of(plan.format)));
  }
}

void ShrinkJob::refuse_output() const {
  const std::string folder = folder_of(options_.output);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw io::Error::system("making a file in it", folder, errno);
  }
  const io::DeviceInventory inventory;
  check_output_path(options_.output, source_.paths(), io::DeviceUsage(inventory));
  std::error_code error;
  const auto status = std::filesystem::status(options_.output, error);
  if (!std::filesystem::exists(status)) return;
  if (!std::filesystem::is_regular_file(status)) {
    throw io::Error::refusal(options_.output,
                             "is not a regular file; make an image, then write it with burn");
  }
  if (!options_.target.force) {
    throw io::Error::refusal(options_.output, "exists already; --force replaces it");
  }
}

// A qcow2 file in which nothing is stored yet: all is as in the source, or zeros.
void ShrinkJob::make_qcow2(const std::string& path, bool over_source) {
  io::File file(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  formats::qcow2::WriterOptions options;
  if (over_source) {
    options.create.backing_file = source_.absolute_path();
    options.create.backing_format = formats::name_of(source_.format());
  }
  const std::uint64_t size = formats::qcow2::virtual_size_for(source_.size());
  if (const auto fault = formats::qcow2::fault_of(options.create, size); !fault.empty()) {
    throw io::Error::refusal(options_.source, "an overlay over it cannot be made: " + fault);
  }
  // In a target that is told of no backing content, zeros are what is not stored.
  formats::qcow2::Qcow2Target target(ring_, file, size, options);
  io::run_task(ring_, target.zero({0, size}));
  io::run_task(ring_, target.finish());
}

ApplianceOptions ShrinkJob::appliance_options() const {
  // What a passphrase opens may want 1 GiB to be opened (argon2id).
  constexpr int memory_for_keys = 2048;
  return {options_.fixed_appliance, folder_->path(), options_.keys.empty() ? 0 : memory_for_keys};
}

void ShrinkJob::make_folder() {
  folder_ = std::make_unique<WorkFolder>(options_.work_folder.value_or(
      options_.output.empty() ? std::filesystem::temp_directory_path().string()
                              : folder_of(options_.output)));
}

void ShrinkJob::use(const EngineUse& engine) {
  is_direct_ = engine.direct;
  plan_.engine = engine.direct ? "direct" : "appliance";
  plan_.engine_because = engine.because;
}

void ShrinkJob::prepare_direct_work() {
  make_folder();
  direct_ = std::make_unique<DirectWork>(ring_, source_.source(), folder_->file(direct_name), box_);
  direct_->show(plan_.volumes, source_.layout());
}

void ShrinkJob::launch() {
  make_folder();
  std::vector<Drive> drives;
  make_qcow2(folder_->file(overlay_name), true);
  drives.push_back({folder_->file(overlay_name), "qcow2", false, source_.layout().sector_size});
  has_scratch_ = options_.xfs == XfsChoice::recreate;
  if (has_scratch_) {
    make_qcow2(folder_->file(scratch_name), false);
    drives.push_back({folder_->file(scratch_name), "qcow2"});
  }
  steps_.begin("launching the appliance (" + plan_.engine_because + ")");
  appliance_ = std::make_unique<Appliance>(drives, appliance_options(), stop_flag());
  if (!appliance_->note().empty()) steps_.say(appliance_->note());
}

ApplianceContext ShrinkJob::testbed(Appliance& appliance) {
  const std::string& disk = appliance.device_of(0);
  for (VolumePlan& volume : plan_.volumes) {
    volume.device = volume.partition == 0 ? disk : fmt::format("{}{}", disk, volume.partition);
  }
  ApplianceContext context = testbed(static_cast<Shell&>(appliance));
  context.appliance = &appliance;
  if (has_scratch_) context.scratch_device = appliance.device_of(1);
  return context;
}

ApplianceContext ShrinkJob::testbed() {
  if (!is_direct_) return testbed(*appliance_);
  for (VolumePlan& volume : plan_.volumes) volume.device = view_of(volume.partition);
  return testbed(direct_->shell());
}

ApplianceContext ShrinkJob::testbed(Shell& shell) {
  ApplianceContext context{shell, options_,
                           [this](const std::string& step) { steps_.begin(step); }};
  context.needs_replay = [this](const formats::VolumeId& id) { return source_.needs_replay(id); };
  for (const VolumePlan& volume : plan_.volumes) {
    if (options_.keeps(volume.partition)) context.kept.push_back(&volume);
  }
  return context;
}

// Whether the appliance's kernel sees the partitions that the host sees.
void ShrinkJob::check_same_sizes() {
  std::vector<std::string> devices;
  devices.reserve(plan_.volumes.size());
  for (const VolumePlan& volume : plan_.volumes) devices.push_back(volume.device);
  const auto sizes = sizes_of_devices(*appliance_, devices);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const VolumePlan& volume = plan_.volumes[i];
    if (sizes[i] == volume.size) continue;
    throw trouble(
        fmt::format("{} has {} bytes here, and there {}", volume.name, volume.size, sizes[i]));
  }
}

template <typename F>
void ShrinkJob::work_or_start_again(const F& work) {
  std::optional<ProgramDied> died;
  try {
    work();
  } catch (const ProgramDied& error) {
    if (options_.engine != EngineChoice::automatic) throw;
    died = error;
  }
  if (!died) return;
  start_again(*died);
  work();
}

void ShrinkJob::start_again(const ProgramDied& died) {
  steps_.say(fmt::format("note: {}; once more, in the appliance", died.what()));
  direct_.reset();
  folder_.reset();
  use({false, died.what()});
  plan_.volumes = source_.volumes();
}

void ShrinkJob::look() {
  use(choose_engine(source_, plan_.volumes, options_, box_));
  work_or_start_again([this] { measure_all(); });
  update_plan(source_.source());
  refuse_by_strictness();
}

void ShrinkJob::measure_all() {
  if (is_direct_) {
    prepare_direct_work();
  } else {
    launch();
  }
  ApplianceContext context = testbed();
  if (!is_direct_) check_same_sizes();
  for (VolumePlan& volume : plan_.volumes) {
    measure(context, volume);
    for_each_volume(volume, [this](VolumePlan& one) {
      const auto used = one.id ? source_.used_in(*one.id) : std::nullopt;
      if (!one.used) one.used = used;
      one.mapped = one.mapped || used.has_value();
      one.trim = !is_direct_ && may_be_trimmed(one, options_);
    });
  }
}

void ShrinkJob::update_plan(io::Source& disk) {
  if (options_.change_sizes) {
    formats::DiskView view(ring_, disk);
    const auto relayout = lay_out(view, source_, plan_.volumes, false);
    plan_.new_size = relayout.disk_size;
    plan_.placements = relayout.placements;
    plan_.left_out = relayout.left_out;
  }
  for (VolumePlan& volume : plan_.volumes) mark_believed(volume, source_.free_space());
  add_notes(plan_, source_);
}

bool ShrinkJob::saves_anything() const { return plan_.new_size < plan_.old_size; }

void ShrinkJob::refuse_by_strictness() const {
  if (!options_.strict) return;
  for (const VolumePlan& volume : plan_.volumes) {
    for_each_volume(volume, [&](const VolumePlan& one) {
      const bool wanted = options_.keeps(one.partition) || one.type == "vfat" || one.minimum;
      if (one.changes() || !one.kept || wanted) return;
      throw io::Error::refusal(
          options_.source,
          fmt::format("{} would be kept as it is, which --strict forbids: {}{}", title(one),
                      one.kept_because, one.remedy.empty() ? "" : "; " + one.remedy));
    });
  }
}

void ShrinkJob::check_room() {
  std::uint64_t needed = spare_room;
  for (const VolumePlan& volume : plan_.volumes) {
    for_each_volume(volume, [&](const VolumePlan& one) {
      if (one.action != Action::shrink && one.action != Action::recreate) return;
      needed += one.new_size / 100;
      if (one.action == Action::recreate) {
        // Copied to the scratch disk, where no file shares blocks any more, and back.
        const std::uint64_t files = std::max(one.used.value_or(0), one.files.value_or(0));
        // Inside LUKS it is encrypted, and free space takes room there, too.
        const bool secret = !options_.keys.empty();
        needed += files + (secret ? one.new_size : files);
        return;
      }
      const std::uint64_t moved = source_.used_behind(one, one.new_size);
      needed += std::min(moved, one.used.value_or(moved));
    });
  }
  const std::uint64_t room = folder_->room();
  if (room >= needed) return;
  throw io::Error::refusal(
      folder_->path(),
      fmt::format("the work needs up to {} here, and {} are left; --work-dir names another place",
                  human_size(needed), human_size(room)));
}

void ShrinkJob::work() {
  (void)plan_output(options_.target, options_.output, plan_.new_size);
  check_room();
  work_or_start_again([this] {
    if (!is_direct_ && !appliance_) measure_all();  // from the start again
    ApplianceContext context = testbed();
    for (VolumePlan& volume : plan_.volumes) change(context, volume);
    for (const VolumePlan& volume : plan_.volumes) trim(context, volume);
    for (const VolumePlan& volume : plan_.volumes) check(context, volume);
  });
  if (appliance_) {
    steps_.begin("shutting the appliance down");
    appliance_->shutdown();
    appliance_.reset();
    has_scratch_ = false;
  }
  source_.check_unchanged();
  open_result();
  steps_.finish();
}

void ShrinkJob::open_result() {
  io::Source* disk = nullptr;
  if (is_direct_) {
    disk = &direct_->disk();
  } else {
    formats::OpenOptions open;
    open.format = Format::qcow2;
    open.page_cache = options_.open.page_cache;
    open.follow_references = true;  // it names our own source
    open.workers = &workers_;
    open.stop = &stop_flag();
    overlay_ = formats::open_image(ring_, folder_->file(overlay_name), open);
    disk = overlay_.get();
  }
  if (options_.change_sizes) {
    formats::DiskView view(ring_, *disk);
    auto relayout = lay_out(view, source_, plan_.volumes, true);
    plan_.new_size = relayout.disk_size;
    plan_.placements = relayout.placements;
    plan_.left_out = relayout.left_out;
    relaid_ = formats::partitions::relaid_source(*disk, std::move(relayout));
    disk = relaid_.get();
  }
  find_free_space(*disk);
  add_notes(plan_, source_);
}

// Those of the partitions that come along as they are, in their new places.
std::vector<io::ByteRange> ShrinkJob::kept_ranges() const {
  std::vector<io::ByteRange> ranges;
  for (const VolumePlan& volume : plan_.volumes) {
    if (!options_.keeps(volume.partition) && !volume.left_alone) continue;
    if (const auto* place = plan_.placement_of(volume.partition)) {
      ranges.push_back({place->new_start, place->new_length});
      continue;
    }
    ranges.push_back({0, plan_.old_size});
    for (const auto& partition : source_.layout().partitions) {
      if (partition.number == volume.partition) ranges.back() = partition.range;
    }
  }
  return ranges;
}

// What the host's maps know to be free does not come along, except in partitions that are kept.
void ShrinkJob::find_free_space(io::Source& disk) {
  io::OverlaySource as_if_clean(disk, without_dirty_marks(disk), disk.size().value());
  formats::DiskView view(ring_, as_if_clean);
  const formats::FreeSpace found =
      formats::find_free_space(view, {.trust_maps = options_.trust_maps,
                                      .look_inside = false,
                                      .thin_pools = false});  // as it was looked at before
  for (VolumePlan& volume : plan_.volumes) mark_believed(volume, found);
  std::vector<io::ByteRange> free;
  const std::vector<io::ByteRange> kept = kept_ranges();
  for (const io::ByteRange& range : found.free) {
    const bool is_kept = std::any_of(kept.begin(), kept.end(), [&](const io::ByteRange& one) {
      return !io::intersection(one, range).empty();
    });
    if (!is_kept) free.push_back(range);
  }
  result_ = std::make_unique<io::ZeroRanges>(
      disk, std::move(free), io::align_up(cluster_size(), std::uint64_t{io::buffer_alignment}));
}

std::uint64_t ShrinkJob::cluster_size() const {
  return is_direct_ ? std::max(direct_->granule(), source_.cluster_size())
                    : overlay_->cluster_size();
}

// ntfsresize marks what it has made smaller for chkdsk, and a map of such a volume is not believed.
// It was clean before, so the mark says nothing else; where the appliance does it, it trims
// instead.
std::vector<io::Patch> ShrinkJob::without_dirty_marks(io::Source& disk) {
  std::vector<io::Patch> patches;
  if (!is_direct_) return patches;
  formats::DiskView view(ring_, disk);
  for (const VolumePlan& volume : plan_.volumes) {
    if (volume.type != "ntfs" || !volume.changes()) continue;
    const auto* place = plan_.placement_of(volume.partition);
    const io::ByteRange range = place != nullptr
                                    ? io::ByteRange{place->new_start, place->new_length}
                                    : io::ByteRange{0, disk.size().value()};
    formats::DiskView part = view.part(range);
    if (auto patch = formats::filesystems::without_dirty_mark(part)) {
      patch->offset += range.offset;
      patches.push_back(std::move(*patch));
    }
  }
  return patches;
}

void ShrinkJob::open_output() {
  output_ = std::make_unique<ImageOutput>(
      ring_, plan_output(options_.target, options_.output, result_->size()), result_->size(),
      source_.paths(), workers_, nullptr, stop_flag());
  written_.format = output_->plan().format;
}

void ShrinkJob::write(io::CopyObserver& observer) {
  open_output();
  const std::uint64_t size = result_->size().value();
  const std::string warning = check_disk_space(ring_, *result_, output_->plan(), workers_);
  if (!warning.empty()) steps_.say(warning);
  TuningOptions tuning;
  tuning.rate = options_.rate;
  io::CopyOptions copy_options = choose_copy_options(tuning, {}, {}, cluster_size());
  std::vector<io::CopyTarget> copies(1);
  try {
    output_->start();
    output_->tune_for(copy_options, options_.threads);
    copies.front().target = &output_->target();
    io::copy_whole(ring_, *result_, copies, copy_options, observer, stop_flag());
    source_.check_unchanged();
    observer.begin(io::Phase::flush, 0, std::nullopt);
    output_->complete();
    observer.end(io::Phase::flush, 0);
  } catch (const io::Error& error) {
    throw output_->explained(error, copies.front(), size);
  }
  written_.file_bytes = output_->file_bytes();
  written_.data_bytes = output_->content_bytes().value_or(copies.front().data_bytes);
}

}  // namespace imgtool::guest

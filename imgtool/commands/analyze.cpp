// imgtool analyze IMAGE
#include <algorithm>
#include <thread>

#include <fmt/format.h>
#include <unistd.h>

#include "formats/images/facts.hpp"
#include "formats/images/image.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/inner_files.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/opened_disk.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/jobs/swap_file.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "imgtool/reports/analyze_report.hpp"
#include "imgtool/reports/disk_picture.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/text_output.hpp"
#include "io/error.hpp"
#include "io/output_file.hpp"

namespace imgtool {
namespace {

struct AnalyzeOptions {
  std::string path;
  formats::OpenOptions open;
  bool deep = false;
  bool trust_maps = false;
  bool force = false;
  std::optional<std::string> html;
  std::optional<std::string> svg;
  std::optional<unsigned> files;  // so many of the largest ones
  JobOptions job;
};

Qcow2Analysis analyze_qcow2(const io::File& file) {
  Qcow2Analysis found;
  found.cluster_size = formats::qcow2::read_header(file).geometry.cluster_size();
  // What is damaged there is for check to tell; here it is a number that is missing.
  try {
    found.check = formats::qcow2::check(
        file, [](const std::string&) {}, stop_flag());
    found.usage = formats::qcow2::read_usage(file);
  } catch (const io::Error& error) {
    if (error.kind() != io::ErrorKind::unsupported && error.kind() != io::ErrorKind::format) throw;
  }
  return found;
}

// Past the page cache, where it is not needed afterwards; all else that is read here is small, and
// some of it is read twice.
void read_all_data(io::Ring& ring, const AnalyzeOptions& o, formats::OpenOptions open,
                   formats::Image& image, formats::StorageMap& map) {
  open.page_cache = formats::PageCache::bypassed;
  // What was unpacked for this is not unpacked again.
  const bool contained = is_stream(image.format()) || is_archive(image.format());
  const auto past_cache =
      contained ? nullptr : formats::open_image(ring, image.files().front()->reopened(), open);
  Progress progress({o.path}, o.job);
  progress.begin(io::Phase::read, 0, map.total(io::ExtentKind::data));
  const auto read = [&](std::uint64_t bytes) {
    progress.completed(io::Phase::read, 0, bytes);
    progress.tick();
  };
  formats::find_stored_zeros(ring, past_cache ? *past_cache : image, map, read, stop_flag());
  io::throw_if_stopped(stop_flag(), o.path);
  progress.end(io::Phase::read, 0);
  progress.finish();
}

// Broken content does not keep the rest from being reported.
void add_prospects(io::Ring& ring, io::Source& image, io::WorkerPool& workers,
                   ImageAnalysis& analysis) {
  try {
    analysis.prospects =
        look_ahead(ring, image, analysis.block_device, analysis.disk.free_ranges, workers);
  } catch (const io::Error& error) {
    if (error.kind() == io::ErrorKind::cancelled) throw;
    analysis.no_prospects_because = error.what();
  }
}

// Of each volume whose files can be read. Broken ones do not keep the others from being reported.
std::vector<VolumeFiles> survey_volumes(formats::DiskView& disk,
                                        const formats::DiskAnalysis& analysis, std::size_t most) {
  std::vector<VolumeFiles> all;
  for (const formats::VolumeAnalysis& one : analysis.volumes) {
    const formats::Volume& volume = one.volume;
    if (!formats::filesystems::can_open_files(volume.file_system.type)) continue;
    VolumeFiles found;
    found.place = volume.name();
    found.part = part_name(volume.id);
    try {
      InnerFileSystem files(disk, volume);
      found.warning = files.tree().warning();
      found.survey = formats::survey_files(files.tree(), most, swap_file_test(files), &stop_flag());
    } catch (const io::Error& error) {
      if (error.kind() == io::ErrorKind::cancelled) throw;
      found.unread_because = error.what();
    }
    all.push_back(std::move(found));
  }
  return all;
}

// The pages, refused or begun before the work.
struct Pages {
  std::unique_ptr<io::OutputFile> html;
  std::unique_ptr<io::OutputFile> svg;
};

Pages open_pages(const AnalyzeOptions& o, const formats::Image& image,
                 const io::DeviceInventory& inventory) {
  const io::DeviceUsage usage(inventory);
  std::vector<std::string> others;
  for (const io::File* file : image.files()) others.push_back(file->path());
  const auto open = [&](const std::optional<std::string>& path) {
    if (!path) return std::unique_ptr<io::OutputFile>();
    check_output_path(*path, others, usage);
    others.push_back(*path);
    return std::make_unique<io::OutputFile>(*path, o.force);
  };
  Pages pages;
  pages.html = open(o.html);
  pages.svg = open(o.svg);
  return pages;
}

ImageAnalysis analyze(const AnalyzeOptions& o, Pages& pages) {
  const auto ring = make_ring(o.job, 64);
  io::WorkerPool workers(std::max(1U, std::thread::hardware_concurrency()));
  formats::OpenOptions open = o.open;
  open.workers = &workers;
  open.any_place = true;
  const auto image = formats::open_image(*ring, o.path, open);
  const io::DeviceInventory inventory;
  pages = open_pages(o, *image, inventory);
  ImageAnalysis analysis;
  analysis.path = o.path;
  analysis.format = image->format();
  analysis.deep = o.deep;
  const io::File& file = *image->files().front();
  const io::FileStatus status = file.status();
  analysis.file_size = status.size;
  analysis.block_device = status.kind == io::FileKind::block_device;
  analysis.allocated = formats::allocated_size_of(file);
  analysis.map = formats::stored_map(*image);
  if (o.deep) read_all_data(*ring, o, open, *image, analysis.map);
  formats::DiskView disk(*ring, *image, &stop_flag());
  formats::FreeSpaceOptions options;
  options.trust_maps = o.trust_maps;
  options.discarded = formats::DiscardedContent::listed;
  options.in_use = parts_in_use(inventory, o.path);
  if (const auto* device = inventory.find_path(o.path)) {
    options.sector_size = device->logical_sector_bytes;
  }
  analysis.disk = formats::analyze(disk, analysis.map, options);
  if (image->format() == formats::Format::qcow2) analysis.qcow2 = analyze_qcow2(file);
  add_prospects(*ring, *image, workers, analysis);
  if (o.files) analysis.files = survey_volumes(disk, analysis.disk, *o.files);
  return analysis;
}

void write_page(io::OutputFile& output, const std::string& content) {
  output.file().write_at(0, std::as_bytes(std::span(content)));
  output.publish();
}

}  // namespace

int run_analyze(const Arguments& arguments) {
  AnalyzeOptions o;
  CommandLine line("analyze",
                   "Tells where the bytes of IMAGE are: what each partition and file system uses, "
                   "what is free, what of that is stored all the same, and what else is stored in "
                   "vain, and what other commands would make of it. Reads metadata and some MiB of "
                   "samples, mounts nothing, and changes nothing.");
  line.argument("IMAGE", o.path, "image or disk to look into");
  image_options(line, o.open);
  line.option("deep", flag_into(o.deep), "read all that is stored, to find the zeros in it");
  trust_maps_option(line, o.trust_maps);
  line.option("files", optional_count_into(o.files, 1, 100000, 20),
              "tell the largest files and folders of each file system, and what nobody needs");
  line.option("html", text_into(o.html, "FILE"),
              "write a page that shows the map of the disk as a picture");
  line.option("svg", text_into(o.svg, "FILE"), "write that picture alone");
  line.force_option(o.force);
  line.job_options(o.job);
  line.exit_code(exit_code::refused,
                 "IMAGE names another file (see --follow-references), or FILE exists");
  line.example("imgtool analyze golden.qcow2", "16 GiB inside, 3.6 GiB stored: why?");
  line.example("imgtool analyze --files golden.qcow2", "which files take the space");
  line.example("imgtool analyze --html map.html golden.qcow2", "the same as a picture");
  line.example("imgtool analyze --deep --json golden.img", "with the zeros that are stored");
  if (const auto exit = line.parse(arguments)) return *exit;

  Pages pages;
  const ImageAnalysis analysis = analyze(o, pages);
  if (pages.html) write_page(*pages.html, to_html(analysis));
  if (pages.svg) write_page(*pages.svg, to_svg(analysis));
  if (line.common().json) {
    print_json(to_json(analysis));
  } else {
    const auto screen = FdOutput(STDOUT_FILENO).screen();
    print(to_text(analysis, screen ? std::optional<std::size_t>(screen->columns) : std::nullopt));
  }
  return exit_code::done;
}

}  // namespace imgtool

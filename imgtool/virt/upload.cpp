// imgtool upload IMAGE POOL/VOL
#include <chrono>
#include <filesystem>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <pugixml.hpp>

#include "formats/images/facts.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/device_words.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/output_options.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/shell_word.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "imgtool/virt/virt_report.hpp"
#include "imgtool/virt/volume_target.hpp"

namespace imgtool {
namespace {

namespace fs = std::filesystem;
using formats::Format;
using virt::LibvirtError;
using virt::Pool;
using virt::Volume;

struct UploadOptions {
  std::string image;
  std::string place;  // POOL/VOL
  std::optional<std::string> uri;
  formats::OpenOptions opening;
  std::optional<Format> output;
  bool force = false;
  JobOptions job;
};

void describe_upload(CommandLine& line, UploadOptions& o) {
  line.argument("IMAGE", o.image, "image of any format whose size is known beforehand");
  line.argument("POOL/VOL", o.place, "storage pool, and the volume to make in it");
  virt::connect_option(line, o.uri);
  image_options(line, o.opening);
  line.option("output-format,O", output_format_into(o.output),
              "what the volume holds: raw, or qcow2 as it is (default: as it is for a qcow2 image "
              "where the pool keeps files, else raw)");
  line.option("force", flag_into(o.force),
              "the volume may exist: its content is replaced, to its last byte");
  line.job_options(o.job);
  line.exit_code(
      exit_code::refused,
      "the volume exists, is in use or too small, or is what the image is read from; or the "
      "image names other files");
  line.example("imgtool upload golden.qcow2 default/web1.qcow2", "into a pool of files");
  line.example("imgtool upload -c qemu+ssh://root@host/system golden.img vg0/web1",
               "into a logical volume of another host");
}

// --- what goes where ----------------------------------------------------------------------

std::string type_of(const Pool& pool) {
  pugi::xml_document document;
  const std::string xml = pool.xml();
  document.load_buffer(xml.data(), xml.size());
  return document.child("pool").attribute("type").value();
}

// Volumes of these pools are files; other pools keep bytes of a disk and nothing else.
bool keeps_files(const Pool& pool) {
  const std::string type = type_of(pool);
  return type == "dir" || type == "fs" || type == "netfs" || type == "vstorage";
}

struct UploadPlan {
  Format format = Format::raw;  // of the volume
  std::uint64_t disk_size = 0;  // that a guest sees
};

UploadPlan plan_upload(const UploadOptions& o, const Pool& pool) {
  const formats::ImageFacts image = formats::read_facts(o.image, o.opening.format, false).front();
  if (!image.virtual_size || *image.virtual_size == 0) {
    throw io::Error(io::ErrorKind::unsupported, o.image,
                    image.virtual_size ? "is empty"
                                       : "does not say how large its disk is: imgtool convert it "
                                         "first");
  }
  UploadPlan plan;
  plan.disk_size = *image.virtual_size;
  const bool can_be_kept = keeps_files(pool) && image.format == Format::qcow2;
  plan.format =
      o.output.value_or(can_be_kept && o.opening.snapshot.empty() ? Format::qcow2 : Format::raw);
  if (plan.format == Format::raw) return plan;
  if (!can_be_kept || !o.opening.snapshot.empty()) {
    throw io::Error::refusal(o.image,
                             "a volume can be qcow2 when the whole image is, and the pool "
                             "keeps files: imgtool convert makes one, -O raw needs none");
  }
  const formats::qcow2::Header& header = image.qcow2->header;
  if (!header.backing_file.empty() || header.external_data) {
    throw io::Error::refusal(
        o.image, fmt::format("names another file, '{}', which the pool would need too: -O raw "
                             "--follow-references uploads the content instead",
                             header.external_data ? header.data_file : header.backing_file));
  }
  return plan;
}

formats::OpenOptions opening_of(const UploadOptions& o, const UploadPlan& plan) {
  formats::OpenOptions opening = o.opening;
  opening.page_cache = formats::PageCache::used_if_warm;
  if (plan.format == Format::qcow2) opening.format = Format::raw;  // its bytes as they are
  return opening;
}

// Always raw: a qcow2 volume would begin as one of libvirt's making, whose tables would show
// through the holes of what is sent.
std::string volume_xml(const std::string& name, std::uint64_t capacity, bool file) {
  pugi::xml_document document;
  pugi::xml_node volume = document.append_child("volume");
  volume.append_child("name").text() = name.c_str();
  volume.append_child("capacity").text() = std::to_string(capacity).c_str();
  if (file) {  // elsewhere all of it is allocated
    volume.append_child("allocation").text() = "0";
    volume.append_child("target").append_child("format").append_attribute("type") = "raw";
  }
  std::ostringstream text;
  document.save(text, "", pugi::format_raw | pugi::format_no_declaration);
  return text.str();
}

// --- the job ------------------------------------------------------------------------------

class UploadJob {
 public:
  // All of it outlives the job.
  UploadJob(io::Ring& ring, const virt::Connection& connection, const UploadOptions& options)
      : options_(options),
        connection_(connection),
        pool_(find_pool()),
        name_(options.place.substr(options.place.find('/') + 1)),
        plan_(plan_upload(options, pool_)),
        image_(ring, options.image, opening_of(options, plan_), stop_flag()) {
    refresh();  // it may know volumes that are gone, or not know new ones
    prepare_volume();
  }

  // A volume that was made for this and did not get all of it is removed.
  void run(io::Ring& ring, Progress& progress) {
    try {
      copy(ring, progress);
    } catch (...) {
      if (fresh_) remove_quietly();
      if (cleared_) complain(options_.place + ": the old content is gone, the new one incomplete");
      throw;
    }
    refresh();  // libvirt reads what it is now
  }

  int report(double seconds, bool json) const {
    if (json) {
      print_json({{"image", options_.image},
                  {"pool", pool_.name()},
                  {"volume", name_},
                  {"path", volume_->path()},
                  {"format", name_of(plan_.format)},
                  {"virtual-size", plan_.disk_size},
                  {"data-bytes", copied_.front().data_bytes},
                  {"zero-bytes", copied_.front().zero_bytes},
                  {"sparse", sparse_},
                  {"replaced", replaced_},
                  {"seconds", seconds}});
      return exit_code::done;
    }
    print(terminal_text(fmt::format("{}: uploaded to {}/{}, {} of {}; {} data{}, in {}",
                                    options_.image, pool_.name(), name_, name_of(plan_.format),
                                    human_size(plan_.disk_size),
                                    human_size(copied_.front().data_bytes),
                                    sparse_ ? ", zeros as holes" : "", human_duration(seconds))) +
          "\n");
    return exit_code::done;
  }

 private:
  Pool find_pool() const {
    const std::size_t slash = options_.place.find('/');
    if (slash == std::string::npos || slash == 0 || slash + 1 == options_.place.size()) {
      throw UsageError(fmt::format("upload: '{}' is not POOL/VOL", options_.place));
    }
    auto pool = connection_.find_pool(options_.place.substr(0, slash));
    if (!pool) throw io::Error::refusal(options_.place, "there is no such storage pool");
    if (!pool->is_active()) {
      throw io::Error::refusal(
          options_.place,
          fmt::format("the pool is not running: virsh pool-start {}", shell_word(pool->name())));
    }
    return std::move(*pool);
  }

  // A pool that is busy with another volume cannot be read anew. What is known of it will do.
  void refresh() const {
    try {
      pool_.refresh();
    } catch (const LibvirtError& error) {
      if (!connection_.is_alive()) throw;
      complain(fmt::format("note: the pool {} was not read anew: {}", pool_.name(), error.text()));
    }
  }

  void prepare_volume() {
    volume_ = pool_.find_volume(name_);
    if (volume_) {
      check_existing();
      return;
    }
    sparse_ = keeps_files(pool_);
    volume_ = pool_.create_volume(volume_xml(name_, *image_.source().size(), sparse_));
    fresh_ = true;
  }

  // It may be replaced, if no domain uses it.
  void check_existing() {
    if (!options_.force) {
      throw io::Error::refusal(options_.place, "exists already: --force replaces its content");
    }
    replaced_ = true;
    const virt::HostStorage host = virt::host_of(connection_);
    const virt::Identity identity = host.identity(volume_->path());
    refuse_own_source(host, identity);
    const auto all = virt::collect_uses(virt::read_all_halves(connection_), host);
    virt::print_notes(all.notes);
    const auto conflicts = virt::find_conflicts({identity, {}}, all.uses, host);
    if (!conflicts.empty()) throw virt::Conflict(options_.place, conflicts, "detach it first");
    if (identity.file) {
      const auto uses = host.uses(identity.path);
      if (!uses.empty()) throw io::Error::refusal(options_.place, "is " + phrase_of(uses.front()));
      if (virt::locked_by_qemu(identity.path, true)) {
        throw io::Error::refusal(options_.place, "is open in a running QEMU");
      }
    }
    // libvirt takes the node of a disk in a folder for a file.
    is_file_ = volume_->is_file() && !(identity.file && identity.file->block_device);
    const std::uint64_t capacity = volume_->capacity();
    if (!is_file_ && (plan_.format != Format::raw || capacity < plan_.disk_size)) {
      throw io::Error::refusal(options_.place, plan_.format != Format::raw
                                                   ? "is a disk, and keeps no qcow2 image: -O raw"
                                                   : fmt::format("has {} bytes, and the image {}",
                                                                 capacity, plan_.disk_size));
    }
  }

  // Its old content is wiped before the first byte is read.
  void refuse_own_source(const virt::HostStorage& host, const virt::Identity& volume) const {
    for (const std::string& path : image_.paths()) {
      const bool same = host.remote()
                            ? may_be_volume_there(path)
                            : host.share(host.identity(fs::absolute(path).string()), volume);
      if (!same) continue;
      throw io::Error::refusal(
          options_.place,
          fmt::format("holds {}, which is to be read: nothing of it would be left", path));
    }
  }

  // Names are all there is of another host's. They count when that host is this one, or when both
  // have the files of a third.
  [[nodiscard]] bool may_be_volume_there(const std::string& path) const {
    return (connection_.leads_here() || type_of(pool_) == "netfs") &&
           fs::weakly_canonical(path) == fs::weakly_canonical(volume_->path());
  }

  // In place, since others may have links to it: a file becomes zeros, as long as it was or longer.
  void clear_existing() {
    if (!is_file_) return;
    if (plan_.format == Format::raw && volume_->capacity() < plan_.disk_size) {
      volume_->grow(plan_.disk_size);
    }
    sparse_ = volume_->wipe();
  }

  void copy(io::Ring& ring, Progress& progress) {
    const std::uint64_t size = *image_.source().size();
    if (replaced_) {
      cleared_ = true;
      clear_existing();
    }
    const std::uint64_t capacity = volume_->capacity();
    const bool longer = plan_.format == Format::raw && capacity > size;
    const std::uint64_t rest = longer ? capacity - size : 0;
    virt::Stream stream = volume_->upload(size + rest, sparse_);
    virt::VolumeTarget target(ring, stream, options_.place, sparse_);
    copied_.front().target = &target;
    const auto tuning = choose_copy_options({}, size, {}, image_.cluster_size());
    io::copy_whole(ring, image_.source(), copied_, tuning, progress, stop_flag());
    if (rest > 0) clear_rest(ring, target, {size, rest});
    image_.check_unchanged();
    stream.finish();
  }

  // What lies behind the image on a longer disk is the old content; a file would be as
  // short as what was sent of it.
  static void clear_rest(io::Ring& ring, virt::VolumeTarget& target, io::ByteRange rest) {
    io::TaskGroup group(ring);
    group.spawn(target.zero(rest));
    group.run();
  }

  void remove_quietly() noexcept {
    try {
      volume_->remove();
    } catch (const LibvirtError& error) {
      complain(fmt::format("{}: the incomplete volume could not be removed: {}", options_.place,
                           error.what()));
    }
  }

  const UploadOptions& options_;
  const virt::Connection& connection_;
  Pool pool_;
  std::string name_;
  UploadPlan plan_;
  ImageSource image_;
  std::optional<Volume> volume_;
  bool fresh_ = false;
  bool sparse_ = false;
  bool replaced_ = false;
  bool cleared_ = false;  // what was there before
  bool is_file_ = false;  // of one that is replaced
  std::vector<io::CopyTarget> copied_ = std::vector<io::CopyTarget>(1);
};

}  // namespace

int run_upload(const Arguments& arguments) {
  UploadOptions o;
  CommandLine line("upload",
                   "Puts an image into a storage pool of libvirt, here or on another host. Holes "
                   "and zeros are not sent where the volume is a new file; on a logical volume or "
                   "another disk zeros are written to its last byte, whatever was there before.");
  describe_upload(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  return virt::run_reporting(line.common().json, exit_code::refused, [&] {
    const virt::Connection connection(o.uri, virt::Access::read_write);
    const auto ring = make_ring(o.job, 32);
    UploadJob job(*ring, connection, o);
    Progress progress({o.place}, o.job);
    const auto begin = std::chrono::steady_clock::now();
    job.run(*ring, progress);
    progress.finish();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    return job.report(seconds.count(), line.common().json);
  });
}

}  // namespace imgtool

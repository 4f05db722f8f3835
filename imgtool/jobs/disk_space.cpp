#include "imgtool/jobs/disk_space.hpp"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "imgtool/jobs/new_blocks.hpp"
#include "imgtool/jobs/output_path.hpp"
#include "imgtool/terminal/human.hpp"

namespace imgtool {
namespace {

constexpr unsigned forecast_samples = 256;

// The folder of what is written, through links.
std::filesystem::path where(const std::string& path) {
  return std::filesystem::path(spelled_out(path)).parent_path();
}

}  // namespace

formats::StoredForm stored_form(const OutputPlan& plan) {
  formats::StoredForm form;
  form.format = plan.format;
  form.create = plan.create;
  form.codec = plan.codec;
  form.hole_grain = plan.smallest_hole;
  if (formats::is_stream(plan.format)) {
    // Samples of 1 MiB, as qcow2's clusters are encoded.
    const auto codec = plan.format == formats::Format::gz ? formats::qcow2::Compression::deflate
                                                          : formats::qcow2::Compression::zstd;
    form.format = formats::Format::zst;
    form.create.geometry.cluster_bits = 20;
    form.create.compression = codec;
    form.codec = {codec, plan.stream_level, false};
    if (plan.format == formats::Format::gz) form.zeros_in_a_byte = 1000;  // deflate: at best 1032
  }
  if (plan.format == formats::Format::vmdk) {
    form.create.compression = formats::qcow2::Compression::deflate;
    form.codec = {formats::qcow2::Compression::deflate, plan.stream_level, false};
  }
  const bool fixed =
      plan.format == formats::Format::vpc && plan.vhd_kind == formats::vhd::Kind::fixed;
  if (has_block_table(plan.format) && !fixed) {
    form.block_layout = [plan](std::uint64_t size) { return new_blocks(plan, size); };
  }
  if (plan.format == formats::Format::simg) {
    form.format = formats::Format::raw;
    form.hole_grain = 64 * io::KiB;
  }
  form.preallocated = plan.preallocation == formats::qcow2::Preallocation::falloc ||
                      plan.preallocation == formats::qcow2::Preallocation::full;
  return form;
}

std::string check_disk_space(io::Ring& ring, io::Source& source, const OutputPlan& plan,
                             io::WorkerPool& workers) {
  std::error_code error;
  const auto space = std::filesystem::space(where(plan.path), error);
  if (error || !source.seekable() || !source.size()) return "";
  const formats::StoredForm form = stored_form(plan);
  formats::Forecast forecast = formats::forecast_by_extents(source, form);
  if (forecast.most <= space.available) return "";
  // There are no samples of what these make of it: a full disk is told when it is full.
  if (plan.format == formats::Format::xz || plan.format == formats::Format::lz4) return "";
  if (!form.preallocated) {
    forecast = formats::forecast_by_samples(ring, source, form, workers, forecast_samples);
  }
  if (forecast.most <= space.available) return "";
  if (forecast.least > space.available) {
    throw io::Error(io::ErrorKind::refused, plan.path,
                    fmt::format("will take about {}, but its file system has only {} left; {} "
                                "are missing",
                                human_size(forecast.likely), human_size(space.available),
                                human_size(forecast.least - space.available)));
  }
  return fmt::format("warning: {} will take {} to {}, and its file system has {} left", plan.path,
                     human_size(forecast.least), human_size(forecast.most),
                     human_size(space.available));
}

io::Error no_space_error(const io::Error& error, const std::string& path,
                         const Progressed& so_far) {
  const auto& [done, written, size] = so_far;
  std::string text = fmt::format("no space left after {}", human_size(written));
  if (size && done > 0) {
    const double whole =
        static_cast<double>(written) / static_cast<double>(done) * static_cast<double>(*size);
    const auto more =
        static_cast<std::uint64_t>(std::max(whole - static_cast<double>(written), 0.0));
    text += fmt::format(" with {} % of the disk done; about {} more are needed", done * 100 / *size,
                        human_size(more));
  } else if (size) {
    text += fmt::format("; at most {} more are needed", human_size(*size));
  }
  return {error.kind(), path, text};
}

}  // namespace imgtool

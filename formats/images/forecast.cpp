#include "formats/images/forecast.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "formats/images/qcow2/chunk_encoder.hpp"
#include "formats/images/qcow2/size_estimate.hpp"
#include "formats/images/vmdk/size_estimate.hpp"
#include "formats/images/zst/label.hpp"
#include "formats/images/zst/target.hpp"
#include "io/buffer_pool.hpp"
#include "io/task_group.hpp"

namespace formats {
namespace {

constexpr double deviations = 2.58;  // 99 %
constexpr unsigned sample_lanes = 8;

// What a sample is; of raw images too, whose options have the default cluster size.
std::uint64_t unit_of(const StoredForm& form) { return form.create.geometry.cluster_size(); }

bool is_fixed(const StoredForm& form) {
  return form.format == Format::raw || (form.format == Format::vpc && !form.block_layout);
}

// What is stored or left out as a whole.
std::uint64_t grain_of(const StoredForm& form, std::uint64_t size) {
  if (form.format == Format::zst) return 1;
  if (form.block_layout) return form.block_layout(size)->block_size();
  return is_fixed(form) ? form.hole_grain : unit_of(form);
}

// Of an image with so many bytes of content in its blocks.
std::uint64_t block_image_bytes(const StoredForm& form, std::uint64_t size, std::uint64_t content) {
  const auto layout = form.block_layout(size);
  const std::uint64_t all = io::align_up(size, layout->block_size());
  const std::uint64_t stored = io::align_up(std::min(content, all), layout->block_size());
  for (std::uint64_t at = 0; at < stored; at += layout->block_size()) {
    (void)layout->place(at / layout->block_size());
  }
  return layout->file_bytes();
}

// Frames are longer than samples and compress better, by less than this.
constexpr double frame_gain = 0.05;

// At most: a label, frames with their headers and checksums, a table of all of them.
std::uint64_t zst_bytes(std::uint64_t size, std::uint64_t content) {
  constexpr std::uint64_t of_a_frame = 48;
  return zst::label_bytes + std::min(content, size) +
         (size / zst::ZstTarget::frame_bytes + 2) * of_a_frame;
}

// Ranges of data, grown to whole units of the image.
void for_each_data_range(io::Source& source, std::uint64_t unit,
                         const std::function<void(io::ByteRange)>& visit) {
  const std::uint64_t size = source.size().value();
  io::ByteRange pending{};
  for (std::uint64_t at = 0; at < size;) {
    const io::Extent extent = source.extent_at(at);
    at = extent.range.end();
    if (extent.kind != io::ExtentKind::data) continue;
    const io::ByteRange grown =
        io::range_between(io::align_down(extent.range.offset, unit), io::align_up(at, unit));
    if (!pending.empty() && grown.offset <= pending.end()) {
      pending.length = std::max(pending.end(), grown.end()) - pending.offset;
      continue;
    }
    if (!pending.empty()) visit(pending);
    pending = grown;
  }
  if (!pending.empty()) visit(pending);
}

std::uint64_t file_bytes(const StoredForm& form, std::uint64_t size, std::uint64_t content,
                         std::uint64_t tables) {
  if (form.block_layout) return block_image_bytes(form, size, content);
  if (form.format == Format::vpc) return std::min(content, io::align_up(size, 512)) + 512;
  if (form.format == Format::raw) return std::min(content, size);
  if (form.format == Format::zst) {
    const std::uint64_t zeros = form.zeros_in_a_byte == 0 ? 0 : size / form.zeros_in_a_byte;
    return zst_bytes(size, content) + zeros;
  }
  if (form.format == Format::vmdk) return vmdk::stream_bytes(size, content, tables);
  if (form.create.preallocation == qcow2::Preallocation::metadata) {
    // Every cluster has its place and is counted; where nothing is, the file has a hole.
    const std::uint64_t unit = unit_of(form);
    return qcow2::fully_allocated_bytes(form.create, size) -
           (io::align_up(size, unit) - io::align_up(content, unit));
  }
  return qcow2::image_bytes(form.create, size, content, tables);
}

// Of the guest, that one table describes; 0: there are no tables, or their size is known.
std::uint64_t bytes_per_table(const StoredForm& form) {
  if (form.format == Format::vmdk) return vmdk::StreamTarget::table_covers;
  return form.format == Format::qcow2 ? form.create.geometry.guest_bytes_per_l2() : 0;
}

std::uint64_t all_tables(const StoredForm& form, std::uint64_t size) {
  if (form.format == Format::vmdk) {
    return io::align_up(size, bytes_per_table(form)) / bytes_per_table(form);
  }
  return form.create.geometry.l1_entries_for(qcow2::virtual_size_for(size));
}

// Clusters to look at: one in the middle of each of `samples` equal parts of the data.
std::vector<std::uint64_t> sample_offsets(io::Source& source, const StoredForm& form,
                                          std::uint64_t data_bytes, unsigned samples) {
  const std::uint64_t unit = unit_of(form);
  const std::uint64_t clusters = data_bytes / unit;
  const std::uint64_t count = std::min<std::uint64_t>(samples, clusters);
  std::vector<std::uint64_t> offsets;
  offsets.reserve(count);
  std::uint64_t before = 0;  // clusters of data in earlier ranges
  for_each_data_range(source, unit, [&](io::ByteRange range) {
    const std::uint64_t here = range.length / unit;
    while (offsets.size() < count) {
      const std::uint64_t wanted = (2 * offsets.size() + 1) * clusters / (2 * count);
      if (wanted >= before + here) break;
      offsets.push_back(range.offset + (wanted - before) * unit);
    }
    before += here;
  });
  return offsets;
}

// Of a unit.
std::uint64_t largest_stored(const StoredForm& form) {
  const std::uint64_t unit = unit_of(form);
  return form.format == Format::vmdk ? vmdk::grain_bytes_in_file(unit) : unit;
}

// What `content` bytes of data take that cannot be compressed.
std::uint64_t stored_plainly(const StoredForm& form, std::uint64_t content) {
  if (form.format != Format::vmdk) return content;
  return io::align_up(content, unit_of(form)) / unit_of(form) * largest_stored(form);
}

class Sampler {
 public:
  Sampler(io::Ring& ring, io::Source& source, const StoredForm& form, io::WorkerPool& workers,
          std::vector<std::uint64_t> offsets)
      : ring_(ring),
        source_(source),
        form_(form),
        workers_(workers),
        offsets_(std::move(offsets)),
        stored_(offsets_.size()) {}

  // Stored bytes of each sample.
  const std::vector<std::uint64_t>& run() {
    io::TaskGroup group(ring_);
    for (unsigned lane = 0; lane < sample_lanes; ++lane) group.spawn(work());
    group.run();
    return stored_;
  }

 private:
  io::Task<> work() {
    const io::AlignedMemory memory(unit_of(form_));
    while (next_ < offsets_.size()) {
      const std::size_t index = next_++;
      const io::ByteRange range =
          io::intersection({offsets_[index], unit_of(form_)}, {0, source_.size().value()});
      co_await source_.read(range, memory.buffer());
      const auto rest = memory.bytes().subspan(range.length);
      std::fill(rest.begin(), rest.end(), std::byte{0});
      std::function<void()> encode = [this, index, &memory] {
        stored_[index] = stored_bytes(memory.bytes().first(unit_of(form_)));
      };
      co_await workers_.run(ring_, std::move(encode));
    }
  }

  [[nodiscard]] std::uint64_t stored_bytes(std::span<const std::byte> content) const {
    qcow2::Chunk chunk;
    chunk.content = content;
    qcow2::ChunkEncoder(form_.create, form_.codec).encode(chunk);
    std::uint64_t bytes = 0;
    for (const qcow2::EncodedCluster& cluster : chunk.clusters) {
      if (cluster.kind == qcow2::ClusterKind::stream) bytes += cluster.stream_bytes;
      if (cluster.kind == qcow2::ClusterKind::plain) bytes += content.size();
    }
    if (form_.format == Format::vmdk && bytes > 0) return vmdk::grain_bytes_in_file(bytes);
    return bytes;
  }

  io::Ring& ring_;
  io::Source& source_;
  const StoredForm& form_;
  io::WorkerPool& workers_;
  std::vector<std::uint64_t> offsets_;
  std::vector<std::uint64_t> stored_;
  std::size_t next_ = 0;
};

struct Statistics {
  double mean = 0;
  double error = 0;  // of the mean
};

// What was found in those of `all` clusters that were looked at.
Statistics statistics_of(const std::vector<std::uint64_t>& stored, std::uint64_t all) {
  Statistics result;
  const auto count = static_cast<double>(stored.size());
  for (const std::uint64_t bytes : stored) result.mean += static_cast<double>(bytes) / count;
  if (stored.size() < 2) return result;
  double squares = 0;
  for (const std::uint64_t bytes : stored) {
    squares += std::pow(static_cast<double>(bytes) - result.mean, 2);
  }
  const double unseen = 1 - count / static_cast<double>(all);
  result.error = std::sqrt(squares / (count - 1) / count * std::max(unseen, 0.0));
  return result;
}

}  // namespace

DataVolume data_volume(io::Source& source, const StoredForm& form) {
  DataVolume volume;
  const std::uint64_t unit = grain_of(form, source.size().value());
  const std::uint64_t per_table = bytes_per_table(form);
  std::uint64_t next_table = 0;
  for_each_data_range(source, unit, [&](io::ByteRange range) {
    volume.bytes += range.length;
    if (per_table == 0) return;
    const std::uint64_t first = std::max(next_table, range.offset / per_table);
    const std::uint64_t end = (range.end() - 1) / per_table + 1;
    if (end > first) volume.tables += end - first;
    next_table = std::max(next_table, end);
  });
  return volume;
}

Forecast forecast_for_size(std::uint64_t size, const StoredForm& form) {
  Forecast forecast;
  const std::uint64_t tables = all_tables(form, size);
  forecast.fully_allocated = file_bytes(form, size, stored_plainly(form, size), tables);
  forecast.least = form.preallocated ? forecast.fully_allocated : file_bytes(form, size, 0, 0);
  forecast.likely = forecast.least;
  forecast.most = forecast.least;
  return forecast;
}

Forecast forecast_by_extents(io::Source& source, const StoredForm& form) {
  const std::uint64_t size = source.size().value();
  Forecast forecast = forecast_for_size(size, form);
  if (form.preallocated) return forecast;
  const DataVolume volume = data_volume(source, form);
  forecast.most = file_bytes(form, size, stored_plainly(form, volume.bytes), volume.tables);
  forecast.likely = forecast.most;
  return forecast;
}

Forecast forecast_by_samples(io::Ring& ring, io::Source& source, const StoredForm& form,
                             io::WorkerPool& workers, unsigned samples) {
  Forecast forecast = forecast_by_extents(source, form);
  if (form.preallocated) return forecast;
  const std::uint64_t size = source.size().value();
  const std::uint64_t unit = unit_of(form);
  const DataVolume volume = data_volume(source, form);
  const std::uint64_t bytes = io::align_up(volume.bytes, unit);
  Sampler sampler(ring, source, form, workers, sample_offsets(source, form, bytes, samples));
  const std::vector<std::uint64_t>& stored = sampler.run();
  const std::uint64_t count = bytes / unit;
  const auto clusters = static_cast<double>(count);
  const Statistics statistics = statistics_of(stored, count);
  const auto largest = static_cast<double>(largest_stored(form));
  const auto with = [&](double per_cluster) {
    const double content = std::clamp(per_cluster, 0.0, largest) * clusters;
    return file_bytes(form, size, static_cast<std::uint64_t>(content), volume.tables);
  };
  const double gain = form.format == Format::zst ? frame_gain : 0;
  forecast.least = with(statistics.mean * (1 - gain) - deviations * statistics.error);
  forecast.likely = with(statistics.mean);
  forecast.most = with(statistics.mean + deviations * statistics.error);
  forecast.sampled = true;
  return forecast;
}

}  // namespace formats

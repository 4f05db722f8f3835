#include "imgtool/reports/outlook.hpp"

#include "formats/images/format.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/output_plan.hpp"
#include "io/buffer_pool.hpp"
#include "io/zero_ranges.hpp"

namespace imgtool {
namespace {

// 16 MiB of the default clusters: a tenth of a second, and for most images within some percent.
constexpr unsigned samples = 256;

enum class Form : std::uint8_t { sparse, qcow2, compressed };

formats::Forecast forecast(io::Ring& ring, io::Source& content, Form form,
                           io::WorkerPool& workers) {
  OutputOptions options;
  options.format = form == Form::sparse ? formats::Format::raw : formats::Format::qcow2;
  options.compress = form == Form::compressed;
  const formats::StoredForm stored = stored_form(plan_output(options, "", content.size()));
  if (form != Form::compressed) return formats::forecast_by_extents(content, stored);
  return formats::forecast_by_samples(ring, content, stored, workers, samples);
}

}  // namespace

std::vector<Prospect> look_ahead(io::Ring& ring, io::Source& image, bool is_disk,
                                 const std::vector<io::ByteRange>& unused,
                                 io::WorkerPool& workers) {
  io::ZeroRanges used(image, unused, io::buffer_alignment);
  const auto with = [&](io::Source& content, const char* command, Form form) {
    return Prospect{command, forecast(ring, content, form, workers)};
  };
  std::vector<Prospect> prospects;
  if (is_disk) {
    prospects.push_back(with(used, "capture --used", Form::sparse));
    prospects.push_back(with(used, "capture --used -O qcow2 -c", Form::compressed));
    return prospects;
  }
  prospects.push_back(with(image, "compress", Form::compressed));
  if (unused.empty()) return prospects;
  prospects.push_back(with(used, "compress --drop-free", Form::compressed));
  prospects.push_back(with(used, "convert --drop-free -O qcow2", Form::qcow2));
  return prospects;
}

}  // namespace imgtool

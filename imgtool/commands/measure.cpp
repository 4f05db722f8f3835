// imgtool measure SRC, imgtool measure --size N
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "formats/images/forecast.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/disk_space.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/jobs/job.hpp"
#include "imgtool/jobs/unused_space.hpp"
#include "imgtool/reports/unused_space_report.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/json.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

constexpr unsigned default_samples = 1024;

struct MeasureOptions {
  std::optional<std::string> source;
  std::optional<std::uint64_t> size;
  formats::OpenOptions open;
  OutputOptions target;
  bool drop_free = false;
  bool trust_maps = false;
  std::optional<unsigned> samples;
  AnswerFormat output = AnswerFormat::human;
  JobOptions job;
};

struct Measured {
  formats::Forecast forecast;
  // Of raw: how much of it a file with holes takes. Any other medium needs room for the whole disk.
  std::optional<std::uint64_t> without_holes{};
  // With drop_free: what of the disk is left out.
  std::optional<Json> left_out{};
  std::string left_out_in_words{};
};

Measured of_form(const formats::Forecast& forecast, formats::Format format) {
  Measured measured{forecast};
  if (format != formats::Format::raw) return measured;
  measured.without_holes = forecast.most;
  measured.forecast.most = forecast.fully_allocated;
  return measured;
}

Measured measure(MeasureOptions& o) {
  const auto ring = make_ring(o.job, 64);
  io::WorkerPool workers(std::max(std::thread::hardware_concurrency(), 1U));
  o.open.workers = &workers;
  o.open.any_place = true;
  std::unique_ptr<formats::Image> source;
  if (o.source) source = formats::open_image(*ring, *o.source, o.open);
  if (source && o.open.force_share) note_writers(*source);
  const auto size = source ? source->size() : o.size;
  const OutputPlan plan = plan_output(o.target, "", size);
  if (plan.format == formats::Format::xz || plan.format == formats::Format::lz4) {
    throw UsageError(
        fmt::format("measure: what {} makes of it is not sampled; -O gz or -O zst tell more",
                    formats::name_of(plan.format)));
  }
  const formats::StoredForm form = stored_form(plan);
  if (!source) {
    return of_form(formats::forecast_for_size(plan.disk_size(*size), form), plan.format);
  }
  std::unique_ptr<UnusedSpace> unused;
  std::unique_ptr<io::ZeroRanges> used;
  if (o.drop_free) {
    unused = find_unused_space(*ring, *source, *o.source, {.trust_maps = o.trust_maps});
    used = unused->filter(*source, io::align_up(source->cluster_size(), io::buffer_alignment));
  }
  io::Source& content = used ? static_cast<io::Source&>(*used) : *source;
  Measured measured =
      of_form(form.codec ? formats::forecast_by_samples(*ring, content, form, workers,
                                                        o.samples.value_or(default_samples))
                         : formats::forecast_by_extents(content, form),
              plan.format);
  if (unused) {
    measured.left_out = unused_space_document(unused->found(), *size);
    measured.left_out_in_words = unused_space_in_words(unused->found(), *size);
  }
  return measured;
}

// An empty disk has nothing to be opened, nor to be looked at.
void refuse_options_of_a_source(const MeasureOptions& o) {
  const std::pair<bool, std::string_view> given[] = {
      {o.drop_free, "--drop-free"},
      {o.open.format.has_value(), "--format"},
      {!o.open.snapshot.empty(), "--snapshot"},
      {o.open.follow_references, "--follow-references"},
      {o.open.force_share, "--force-share"},
      {o.samples.has_value(), "--samples"}};
  for (const auto& [is_given, name] : given) {
    if (is_given) throw UsageError(fmt::format("measure: {} needs SRC", name));
  }
}

Json describe(const Measured& measured) {
  const formats::Forecast& forecast = measured.forecast;
  Json document;
  document["required"] = forecast.most;
  document["fully-allocated"] = forecast.fully_allocated;
  if (measured.without_holes) document["without-holes"] = *measured.without_holes;
  if (forecast.sampled) {
    document["estimate"] = {{"least", forecast.least},
                            {"likely", forecast.likely},
                            {"most", forecast.most},
                            {"confidence", 0.99}};
  }
  if (measured.left_out) document["left-out"] = *measured.left_out;
  return document;
}

std::string forecast_in_words(const Measured& measured) {
  const formats::Forecast& forecast = measured.forecast;
  std::string text = fmt::format("required size: {}\nfully allocated size: {}\n", forecast.most,
                                 forecast.fully_allocated);
  if (forecast.sampled) {
    text += fmt::format("estimated from samples: {}, with 99 % confidence {} to {}\n",
                        human_size(forecast.likely), human_size(forecast.least),
                        human_size(forecast.most));
  }
  if (measured.without_holes) {
    text += fmt::format("as a file with holes: {}\n", *measured.without_holes);
  }
  return text;
}

}  // namespace

int run_measure(const Arguments& arguments) {
  MeasureOptions o;
  CommandLine line("measure",
                   "Says how many bytes an output will take. What is not compressed is a bound "
                   "that holds; what is compressed is sampled, and an estimate.");
  line.argument("SRC", o.source, "image or disk that is to be converted");
  line.option("size", size_into(o.size), "instead of SRC: an empty disk of this size");
  image_options(line, o.open);
  new_image_options(line, o.target);
  line.option("drop-free", flag_into(o.drop_free),
              "without what no file system in SRC uses, as convert --drop-free makes it");
  trust_maps_option(line, o.trust_maps);
  OptionValue samples = count_into(o.samples, 2, 1U << 20);
  samples.default_text = std::to_string(default_samples);
  line.option("samples", samples, "places to look at for an estimate");
  answer_format_option(line, o.output);
  line.job_options(o.job);
  line.example("imgtool measure -O qcow2 golden.img", "a plain qcow2 image");
  line.example("imgtool measure -O qcow2 -c --codec zstd golden.img", "a compressed one");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.source.has_value() == o.size.has_value()) {
    throw UsageError("measure: takes either SRC or --size N");
  }
  if (o.trust_maps && !o.drop_free) {
    throw UsageError("measure: --trust-maps needs --drop-free");
  }
  if (!o.source) refuse_options_of_a_source(o);
  Measured measured = measure(o);
  if (line.common().json || o.output == AnswerFormat::json) {
    print_json(describe(measured));
  } else {
    if (o.output == AnswerFormat::qemu) measured.without_holes.reset();
    print(forecast_in_words(measured) + measured.left_out_in_words);
  }
  return 0;
}

}  // namespace imgtool

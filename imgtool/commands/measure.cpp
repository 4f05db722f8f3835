// imgtool measure SRC, imgtool measure --size N
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "formats/forecast.hpp"
#include "imgtool/command.hpp"
#include "imgtool/disk_space.hpp"
#include "imgtool/human.hpp"
#include "imgtool/image_options.hpp"
#include "imgtool/job.hpp"
#include "imgtool/report.hpp"
#include "imgtool/unused_space.hpp"
#include "imgtool/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

constexpr unsigned default_samples = 1024;

using Json = nlohmann::ordered_json;

struct MeasureOptions {
  std::optional<std::string> source;
  std::optional<std::uint64_t> size;
  formats::OpenOptions open;
  OutputOptions target;
  bool drop_free = false;
  std::optional<unsigned> samples;
  OutputFormat output = OutputFormat::human;
  JobOptions job;
};

formats::Forecast measure(MeasureOptions& o) {
  const auto ring = make_ring(o.job, 64);
  io::WorkerPool workers(std::max(std::thread::hardware_concurrency(), 1U));
  o.open.workers = &workers;
  std::unique_ptr<formats::Image> source;
  if (o.source) source = formats::open_image(*ring, *o.source, o.open);
  const auto size = source ? source->size() : o.size;
  const OutputPlan plan = plan_output(o.target, "", size);
  check_plan(plan, size);
  const formats::StoredForm form = stored_form(plan);
  if (!source) return formats::forecast_for_size(*size, form);
  if (!source->seekable()) {
    throw io::Error(io::ErrorKind::unsupported, *o.source, "cannot be sampled: it is a stream");
  }
  std::unique_ptr<io::ZeroRanges> used;
  if (o.drop_free) {
    used = find_unused_space(*ring, *source, *o.source)
               ->filter(*source, io::align_up(source->cluster_size(), io::buffer_alignment));
  }
  io::Source& content = used ? static_cast<io::Source&>(*used) : *source;
  if (!form.codec) return formats::forecast_by_extents(content, form);
  return formats::forecast_by_samples(*ring, content, form, workers,
                                      o.samples.value_or(default_samples));
}

// An empty disk has nothing to be opened, nor to be looked at.
void refuse_options_of_a_source(const MeasureOptions& o) {
  const std::pair<bool, std::string_view> given[] = {
      {o.drop_free, "--drop-free"},
      {o.open.format.has_value(), "--format"},
      {!o.open.snapshot.empty(), "--snapshot"},
      {o.open.follow_references, "--follow-references"},
      {o.samples.has_value(), "--samples"}};
  for (const auto& [is_given, name] : given) {
    if (is_given) throw UsageError(fmt::format("measure: {} needs SRC", name));
  }
}

Json describe(const formats::Forecast& forecast) {
  Json document;
  document["required"] = forecast.most;
  document["fully-allocated"] = forecast.fully_allocated;
  if (forecast.sampled) {
    document["estimate"] = {{"least", forecast.least},
                            {"likely", forecast.likely},
                            {"most", forecast.most},
                            {"confidence", 0.99}};
  }
  return document;
}

std::string forecast_in_words(const formats::Forecast& forecast) {
  std::string text = fmt::format("required size: {}\nfully allocated size: {}\n", forecast.most,
                                 forecast.fully_allocated);
  if (forecast.sampled) {
    text += fmt::format("estimated from samples: {}, with 99 % confidence {} to {}\n",
                        human_size(forecast.likely), human_size(forecast.least),
                        human_size(forecast.most));
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
  output_options(line, o.target);
  line.option("drop-free", flag_into(o.drop_free),
              "without what no file system in SRC uses, as convert --drop-free makes it");
  OptionValue samples = count_into(o.samples, 2, 1U << 20);
  samples.default_text = std::to_string(default_samples);
  line.option("samples", samples, "places to look at for an estimate");
  output_option(line, o.output);
  line.job_options(o.job);
  line.example("imgtool measure -O qcow2 golden.img", "a plain qcow2 image");
  line.example("imgtool measure -O qcow2 -c --codec zstd golden.img", "a compressed one");
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.source.has_value() == o.size.has_value()) {
    throw UsageError("measure: takes either SRC or --size N");
  }
  if (!o.source) refuse_options_of_a_source(o);
  const formats::Forecast forecast = measure(o);
  if (line.common().json || o.output == OutputFormat::json) {
    print_json(describe(forecast));
  } else {
    print(forecast_in_words(forecast));
  }
  return 0;
}

}  // namespace imgtool

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "imgtool/image_options.hpp"
#include "imgtool/image_output.hpp"
#include "imgtool/usage_error.hpp"

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Codec;
using formats::qcow2::Compression;
using formats::qcow2::Preallocation;

const std::vector<std::pair<std::string, Compression>> codec_names = {
    {"zlib", Compression::deflate}, {"zstd", Compression::zstd}};

template <class Value>
OptionValue optional_choice_into(std::optional<Value>& variable,
                                 std::vector<std::pair<std::string, Value>> choices) {
  std::vector<std::string> words;
  words.reserve(choices.size());
  for (const auto& choice : choices) words.push_back(choice.first);
  OptionValue value;
  value.placeholder = join(words, "|");
  value.set = [&variable, words, choices = std::move(choices)](const std::string& word) {
    variable = choices[parse_choice(word, words)].second;
  };
  return value;
}

template <class Value>
Value chosen(const std::string& word, const std::vector<std::pair<std::string, Value>>& choices) {
  std::vector<std::string> words;
  words.reserve(choices.size());
  for (const auto& choice : choices) words.push_back(choice.first);
  return choices[parse_choice(word, words)].second;
}

Format format_by_suffix(const std::string& path) {
  const auto ends = [&path](std::string_view suffix) { return path.ends_with(suffix); };
  if (ends(".zst")) return Format::zst;
  return ends(".qcow2") || ends(".qcow") ? Format::qcow2 : Format::raw;
}

// Of -o, for a sentence.
std::string creation_keys(const OutputOptions& options) {
  std::string keys =
      "compat, cluster_size, compression_type, preallocation, refcount_bits, extended_l2, "
      "lazy_refcounts";
  if (options.takes_backing) keys += ", backing_file, backing_fmt";
  return keys;
}

bool switch_of(const std::string& word) {
  return chosen<bool>(word, {{"on", true}, {"off", false}, {"true", true}, {"false", false}});
}

// Sets what -o says, one key at a time.
class CreationOptions {
 public:
  CreationOptions(OutputPlan& plan, OutputOptions& options) : plan_(plan), options_(options) {}

  void take(std::string_view list) {
    while (!list.empty()) {
      const auto end = std::min(list.find(','), list.size());
      take_one(std::string(list.substr(0, end)));
      list.remove_prefix(std::min(end + 1, list.size()));
    }
  }

 private:
  void take_one(const std::string& pair) {
    const auto equals = pair.find('=');
    const std::string key = pair.substr(0, equals);
    if (equals == std::string::npos || key.empty()) {
      throw UsageError(fmt::format("-o: '{}' is not key=value", pair));
    }
    try {
      set(key, pair.substr(equals + 1));
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("-o {}: {}", key, error.what()));
    }
  }

  void set(const std::string& key, const std::string& value) {
    if (key == "preallocation" && plan_.format != Format::zst) {
      plan_.preallocation = chosen<Preallocation>(value, {{"off", Preallocation::off},
                                                          {"metadata", Preallocation::metadata},
                                                          {"falloc", Preallocation::falloc},
                                                          {"full", Preallocation::full}});
      return;
    }
    if (plan_.format != Format::qcow2) {
      throw UsageError(fmt::format("is no option of {}, which has {}",
                                   formats::name_of(plan_.format),
                                   plan_.format == Format::zst ? "none" : "only preallocation"));
    }
    set_qcow2(key, value);
  }

  void set_qcow2(const std::string& key, const std::string& value) {
    formats::qcow2::CreateOptions& create = plan_.create;
    if (key == "compat") {
      create.version =
          chosen<std::uint32_t>(value, {{"0.10", 2}, {"1.1", 3}, {"v2", 2}, {"v3", 3}});
    } else if (key == "cluster_size") {
      const std::uint64_t size = parse_size(value);
      if (!std::has_single_bit(size) || size < 512 || size > 2 * io::MiB) {
        throw UsageError("has to be a power of two from 512 to 2M");
      }
      create.geometry.cluster_bits = static_cast<std::uint32_t>(std::countr_zero(size));
    } else if (key == "refcount_bits") {
      create.refcount_bits = static_cast<std::uint32_t>(parse_count(value, 1, 64));
    } else if (key == "compression_type") {
      const Compression type = chosen<Compression>(value, codec_names);
      if (options_.codec && *options_.codec != type) throw UsageError("says other than --codec");
      options_.codec = type;
    } else if (key == "extended_l2") {
      create.geometry.extended_l2 = switch_of(value);
    } else if (key == "lazy_refcounts") {
      create.lazy_refcounts = switch_of(value);
    } else if (key == "backing_file" && options_.takes_backing) {
      if (options_.backing && *options_.backing != value) throw UsageError("says other than -B");
      options_.backing = value;
    } else if (key == "backing_fmt" && options_.takes_backing) {
      options_.backing_format =
          chosen<Format>(value, {{"raw", Format::raw}, {"qcow2", Format::qcow2}});
    } else {
      throw UsageError("is not known here; there are " + creation_keys(options_));
    }
  }

  OutputPlan& plan_;
  OutputOptions& options_;
};

// A zst file is compressed, whether -c says so or not.
void plan_zst(const OutputOptions& options, OutputPlan& plan) {
  if (options.codec && *options.codec != Compression::zstd) {
    throw UsageError("--codec: a zst file knows only zstd");
  }
  if (options.small_window) throw UsageError("--deflate-window is for --codec zlib");
  if (options.level) plan.zst_level = static_cast<int>(*options.level);
}

void plan_compression(const OutputOptions& options, OutputPlan& plan) {
  if (plan.format == Format::zst) {
    plan_zst(options, plan);
    return;
  }
  if (options.codec) plan.create.compression = *options.codec;
  if (!options.compress) {
    if (options.level) throw UsageError("--level needs -c");
    if (options.small_window) throw UsageError("--deflate-window needs -c");
    if (options.codec && plan.format == Format::raw) throw UsageError("--codec needs -c");
    return;
  }
  if (plan.format == Format::raw) {
    throw UsageError("-c: raw images cannot be compressed; use -O qcow2 or -O zst");
  }
  Codec codec;
  codec.type = plan.create.compression;
  codec.small_window = options.small_window;
  if (codec.small_window && codec.type != Compression::deflate) {
    throw UsageError("--deflate-window is for --codec zlib");
  }
  codec.level = static_cast<int>(
      options.level.value_or(static_cast<unsigned>(formats::qcow2::default_level(codec.type))));
  if (codec.level > formats::qcow2::highest_level(codec)) {
    throw UsageError(fmt::format("--level {}: the highest level here is {}", codec.level,
                                 formats::qcow2::highest_level(codec)));
  }
  plan.codec = codec;
}

void check_agreement(const OutputOptions& options, const OutputPlan& plan,
                     std::optional<std::uint64_t> size) {
  if (plan.codec && plan.preallocation != Preallocation::off) {
    throw UsageError("-o preallocation and -c exclude each other");
  }
  if (plan.format == Format::raw && plan.preallocation == Preallocation::metadata) {
    throw UsageError("-o preallocation: raw images have no metadata; use falloc or full");
  }
  if (plan.preallocation != Preallocation::off && !size) {
    throw UsageError("-o preallocation needs a source that tells its size");
  }
  if (options.backing && plan.format != Format::qcow2) {
    throw UsageError("-B: only qcow2 images have a backing file");
  }
  if (options.backing_format && !options.backing) throw UsageError("-F needs -B");
  if (options.target_is_zero && !options.existing) {
    throw UsageError("--target-is-zero needs -n");
  }
  if (options.smallest_hole != OutputOptions().smallest_hole &&
      (plan.format != Format::raw || options.existing)) {
    throw UsageError("-S: only new raw images have holes");
  }
  if (plan.path == "-" && (plan.format != Format::raw || options.existing)) {
    throw UsageError("only a new raw image can go to standard output");
  }
  if (options.existing && (!options.creation.empty() || plan.codec)) {
    throw UsageError("-n: the target is there already, so -o and -c have nothing to say");
  }
}

}  // namespace

OptionValue output_format_into(std::optional<Format>& format) {
  return optional_choice_into<Format>(format, {{"raw", Format::raw}, {"qcow2", Format::qcow2}});
}

void output_options(CommandLine& line, OutputOptions& options) {
  line.option(
      "output-format,O",
      optional_choice_into<Format>(
          options.format, {{"raw", Format::raw}, {"qcow2", Format::qcow2}, {"zst", Format::zst}}),
      "format of the output (default: by its suffix, else raw)");
  line.option("compress,c", flag_into(options.compress), "compress it; zst always is");
  line.option("codec", optional_choice_into<Compression>(options.codec, codec_names),
              "how to compress qcow2 (default: zlib)");
  line.option("level", count_into(options.level, 1, 19),
              "how hard: 1 to 12 of zlib (default 5), 1 to 19 of zstd and zst (default 3)");
  OptionValue window;
  window.placeholder = "4K|32K";
  window.default_text = "32K";
  window.set = [&options](const std::string& word) {
    options.small_window = parse_choice(word, {"4K", "32K"}) == 0;
  };
  line.option("deflate-window", window,
              "4K is what qemu itself writes: larger files, for readers that know no other");
  creation_option(line, options);
}

void creation_option(CommandLine& line, OutputOptions& options) {
  line.option(",o", texts_into(options.creation, "KEY=VALUE,..."),
              "as qemu-img: " + creation_keys(options));
}

void backing_options(CommandLine& line, OutputOptions& options) {
  line.option("backing,B", text_into(options.backing, "BASE"),
              "store only what differs from this image, and name it as the backing file");
  line.option("backing-format,F", output_format_into(options.backing_format),
              "format of BASE (default: its content decides)");
}

OutputPlan plan_output(OutputOptions& options, const std::string& path,
                       std::optional<std::uint64_t> size) {
  OutputPlan plan;
  plan.path = path;
  plan.format = options.format.value_or(format_by_suffix(path));
  plan.format_stated = options.format.has_value();
  CreationOptions creation(plan, options);
  for (const std::string& list : options.creation) creation.take(list);
  plan_compression(options, plan);
  plan.smallest_hole = options.smallest_hole;
  plan.existing = options.existing;
  plan.target_is_zero = options.target_is_zero;
  plan.force = options.force;
  plan.create.preallocation = plan.preallocation;
  check_agreement(options, plan, size);
  return plan;
}

void check_plan(const OutputPlan& plan, std::optional<std::uint64_t> size) {
  if (plan.format != Format::qcow2) return;
  const std::string fault = formats::qcow2::fault_of(plan.create, size.value_or(0));
  if (!fault.empty()) throw UsageError(fault);
}

}  // namespace imgtool

#include "imgtool/jobs/output_plan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <string_view>

#include <fmt/format.h>

#include "formats/images/deflate.hpp"
#include "formats/images/simg/encoder.hpp"
#include "formats/images/streams/encoder.hpp"
#include "formats/images/vdi/new_image.hpp"
#include "formats/images/vhd/new_image.hpp"
#include "formats/images/vhdx/new_image.hpp"
#include "formats/images/vmdk/target.hpp"
#include "imgtool/jobs/output_suffix.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Codec;
using formats::qcow2::Compression;
using formats::qcow2::Preallocation;

bool switch_of(const std::string& word) {
  return chosen<bool>(word, {{"on", true}, {"off", false}, {"true", true}, {"false", false}});
}

bool can_preallocate(Format format) { return format == Format::raw || format == Format::qcow2; }

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
    if (pair == "force_size") {  // as qemu-img takes it, and as it is mostly written
      take_one("force_size=on");
      return;
    }
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
    if (key == "size" && options_.takes_size) {
      options_.stated_size = parse_size(value);
      return;
    }
    if (key == "preallocation" && can_preallocate(plan_.format)) {
      plan_.preallocation = chosen<Preallocation>(value, {{"off", Preallocation::off},
                                                          {"metadata", Preallocation::metadata},
                                                          {"falloc", Preallocation::falloc},
                                                          {"full", Preallocation::full}});
      return;
    }
    switch (plan_.format) {
      case Format::qcow2:
        set_qcow2(key, value);
        break;
      case Format::vmdk:
        set_vmdk(key, value);
        break;
      case Format::vpc:
        set_vpc(key, value);
        break;
      case Format::vhdx:
        set_vhdx(key, value);
        break;
      default:
        refuse_key(can_preallocate(plan_.format) ? "only preallocation" : "none");
    }
  }

  [[noreturn]] void refuse_key(std::string_view keys) const {
    throw UsageError(
        fmt::format("is no option of {}, which has {}", formats::name_of(plan_.format), keys));
  }

  void set_vmdk(const std::string& key, const std::string& value) {
    if (key != "subformat") refuse_key("only subformat");
    if (value != "streamOptimized") throw UsageError("only streamOptimized is written here");
  }

  void set_vpc(const std::string& key, const std::string& value) {
    using formats::vhd::Kind;
    if (key == "subformat") {
      plan_.vhd_kind = chosen<Kind>(value, {{"dynamic", Kind::dynamic}, {"fixed", Kind::fixed}});
    } else if (key == "force_size") {
      if (!switch_of(value))
        throw UsageError("off would change the disk's size; it is always kept");
    } else if (key == "align") {
      plan_.alignment = parse_size(value);
      if (!std::has_single_bit(plan_.alignment) || plan_.alignment < 512 ||
          plan_.alignment > io::GiB) {
        throw UsageError("has to be a power of two from 512 to 1G");
      }
    } else {
      refuse_key("subformat, force_size and align");
    }
  }

  void set_vhdx(const std::string& key, const std::string& value) {
    if (key == "subformat") {
      if (value != "dynamic") throw UsageError("only dynamic is written here");
    } else if (key == "block_size") {
      plan_.block_size = parse_size(value);
      if (!std::has_single_bit(plan_.block_size) ||
          plan_.block_size < formats::vhdx::smallest_new_block ||
          plan_.block_size > formats::vhdx::largest_new_block) {
        throw UsageError("has to be a power of two from 1M to 256M");
      }
    } else {
      refuse_key("subformat and block_size");
    }
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
      const Compression type = chosen<Compression>(value, codec_names());
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

struct StreamKind {
  Format format;
  std::optional<Compression> codec;  // the name by which --codec may say the same
  const char* codec_name;
  int usual_level;
  int highest_level;
};

constexpr std::array<StreamKind, 5> streams = {{
    {Format::zst, Compression::zstd, "zstd", 3, 19},
    {Format::gz, Compression::deflate, "zlib", 6, formats::streams::highest_gzip_level},
    {Format::xz, std::nullopt, "lzma", 6, formats::streams::highest_xz_level},
    {Format::vmdk, Compression::deflate, "zlib", 6, formats::highest_deflate_level},
    {Format::lz4, std::nullopt, "lz4", 1, formats::streams::highest_lz4_level},
}};

void plan_stream(const OutputOptions& options, OutputPlan& plan) {
  const StreamKind& kind = *std::ranges::find(streams, plan.format, &StreamKind::format);
  const auto name = formats::name_of(plan.format);
  if (options.codec && options.codec != kind.codec) {
    throw UsageError(fmt::format("--codec: a {} file knows only {}", name, kind.codec_name));
  }
  if (options.small_window) throw UsageError("--deflate-window is for qcow2");
  plan.stream_level =
      static_cast<int>(options.level.value_or(static_cast<unsigned>(kind.usual_level)));
  if (plan.stream_level > kind.highest_level) {
    throw UsageError(fmt::format("--level {}: the highest level of {} is {}", plan.stream_level,
                                 name, kind.highest_level));
  }
}

void plan_compression(const OutputOptions& options, OutputPlan& plan) {
  if (is_always_compressed(plan.format)) {
    plan_stream(options, plan);
    return;
  }
  if (options.codec) plan.create.compression = *options.codec;
  if (!options.compress) {
    if (options.level) throw UsageError("--level needs -c");
    if (options.small_window) throw UsageError("--deflate-window needs -c");
    if (options.codec && plan.format != Format::qcow2) throw UsageError("--codec needs -c");
    return;
  }
  if (plan.format != Format::qcow2) {
    throw UsageError(
        fmt::format("-c: {} images cannot be compressed; use -O qcow2, zst, gz, xz, lz4 or vmdk",
                    formats::name_of(plan.format)));
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

// Of a disk, in bytes.
std::uint64_t largest_disk_of(Format format) {
  switch (format) {
    case Format::vmdk:
      return formats::vmdk::largest_disk;
    case Format::vpc:
      return formats::vhd::largest_disk;
    case Format::vhdx:
      return formats::vhdx::largest_new_disk;
    case Format::vdi:
      return formats::vdi::largest_disk;
    default:
      return ~std::uint64_t{0};
  }
}

void check_standard_output(const OutputOptions& options, const OutputPlan& plan,
                           std::optional<std::uint64_t> size) {
  if (plan.path != "-") return;
  const bool in_order =
      plan.format == Format::raw || formats::is_stream(plan.format) || plan.format == Format::vmdk;
  if (!in_order || options.existing) {
    throw UsageError(
        "only a new raw, zst, gz, xz or vmdk image can go to standard output; what stands first in "
        "others is known last, so that they need a file");
  }
  if (plan.format == Format::vmdk && !size) {
    throw UsageError(
        "a vmdk image on standard output begins with its size, which this source does not tell; "
        "write it to a file");
  }
}

// Before anything is opened for writing.
void refuse_too_large(const OutputPlan& plan, std::optional<std::uint64_t> size) {
  const std::uint64_t most = largest_disk_of(plan.format);
  if (size.value_or(0) <= most) return;
  throw io::Error::refusal(plan.path,
                           fmt::format("{} images end at {}, and the disk has {} bytes",
                                       formats::name_of(plan.format), human_size(most), *size));
}

// Their tables stand before the content.
void check_tables(const OutputPlan& plan, std::optional<std::uint64_t> size) {
  if (!has_block_table(plan.format)) return;
  if (!size) {
    throw UsageError(
        fmt::format("a {} image needs a source that tells its size; make a raw image of it first",
                    formats::name_of(plan.format)));
  }
  if (plan.format == Format::vhdx && plan.block_size != 0 &&
      !formats::vhdx::fits(*size, plan.block_size)) {
    throw UsageError("-o block_size: too small for so large a disk");
  }
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
  if (options.target_is_zero && !options.existing) {
    throw UsageError("--target-is-zero needs -n");
  }
  check_standard_output(options, plan, size);
  refuse_too_large(plan, size);
  check_tables(plan, size);
  if (options.existing && (!options.creation.empty() || plan.codec)) {
    throw UsageError("-n: the target is there already, so -o and -c have nothing to say");
  }
}

// -S, as far as the format has what it speaks of.
void plan_holes(const OutputOptions& options, OutputPlan& plan) {
  if (!options.smallest_hole) return;
  if (*options.smallest_hole == 0 && can_preallocate(plan.format) && !plan.codec &&
      !plan.existing) {
    plan.preallocation = Preallocation::full;
  } else if (*options.smallest_hole != 0 && plan.format == Format::raw && !plan.existing) {
    plan.smallest_hole = *options.smallest_hole;
  } else {
    plan.notes.emplace_back("note: -S has no effect: only new files of raw bytes have holes");
  }
}

void note_size(const OutputOptions& options, OutputPlan& plan, std::optional<std::uint64_t> size) {
  if (!options.stated_size || options.stated_size == size) return;
  plan.notes.emplace_back(
      "note: -o size has no effect: the disk keeps its size, which imgtool resize changes");
}

// The options with what -o adds to them, and the plan as far as it follows from them alone.
struct Draft {
  OutputOptions options;
  OutputPlan plan;
};

Draft understand(const OutputOptions& options, const std::string& path) {
  Draft draft{options, {}};
  draft.plan.path = path;
  draft.plan.format =
      options.format ? *options.format : format_by_suffix(path, options.default_format);
  draft.plan.format_stated = options.format.has_value();
  CreationOptions creation(draft.plan, draft.options);
  for (const std::string& list : options.creation) creation.take(list);
  if (draft.options.backing && draft.plan.format != Format::qcow2) {
    throw UsageError("-B: only qcow2 images have a backing file");
  }
  if (draft.options.backing_format && !draft.options.backing) throw UsageError("-F needs -B");
  return draft;
}

}  // namespace

bool is_always_compressed(Format format) {
  return std::ranges::find(streams, format, &StreamKind::format) != streams.end();
}

bool has_block_table(Format format) {
  return format == Format::vpc || format == Format::vhdx || format == Format::vdi;
}

std::uint64_t OutputPlan::disk_size(std::uint64_t size) const {
  constexpr std::uint64_t sector = 512;
  if (format == Format::simg) return io::align_up(size, formats::simg::written_block_bytes);
  if (!formats::counts_sectors(format)) return size;
  return io::align_up(size, std::max(sector, alignment));
}

std::optional<BackingChoice> backing_choice(const OutputOptions& options, const std::string& path) {
  const OutputOptions understood = understand(options, path).options;
  if (!understood.backing) return std::nullopt;
  return BackingChoice{*understood.backing, understood.backing_format};
}

std::optional<std::uint64_t> stated_size(const OutputOptions& options, const std::string& path) {
  return understand(options, path).options.stated_size;
}

OutputPlan plan_output(const OutputOptions& options, const std::string& path,
                       std::optional<std::uint64_t> size,
                       const std::optional<BackingReference>& backing) {
  auto [understood, plan] = understand(options, path);
  assert(understood.backing.has_value() == backing.has_value());
  plan_compression(understood, plan);
  plan.existing = options.existing;
  plan.follow_references = options.follow_references;
  plan.target_is_zero = options.target_is_zero;
  plan.force = options.force;
  plan.resume = options.resume;
  plan.mode = options.mode;
  plan_holes(understood, plan);
  note_size(understood, plan, size);
  plan.create.preallocation = plan.preallocation;
  if (backing) {
    plan.create.backing_file = backing->name;
    plan.create.backing_format = formats::name_of(backing->format);
  }
  check_agreement(understood, plan, size);
  if (plan.format == Format::qcow2) {
    const std::string fault = formats::qcow2::fault_of(plan.create, size.value_or(0));
    if (!fault.empty()) throw UsageError(fault);
  }
  return plan;
}

}  // namespace imgtool

#include "imgtool/jobs/output_options.hpp"

#include <algorithm>
#include <initializer_list>
#include <thread>

namespace imgtool {
namespace {

using formats::Format;
using formats::qcow2::Compression;

constexpr unsigned most_threads = 256;

const Choices<Format>& plain_formats() {
  static const Choices<Format> names = {{"raw", Format::raw}, {"qcow2", Format::qcow2}};
  return names;
}

Choices<Format> and_plain_ones(std::initializer_list<Format> others) {
  Choices<Format> names = plain_formats();
  for (const Format format : others) names.emplace_back(formats::name_of(format), format);
  return names;
}

}  // namespace

const Choices<Compression>& codec_names() {
  static const Choices<Compression> names = {{"zlib", Compression::deflate},
                                             {"zstd", Compression::zstd}};
  return names;
}

std::string creation_keys(const OutputOptions& options) {
  std::string keys =
      "compat, cluster_size, compression_type, preallocation, refcount_bits, extended_l2, "
      "lazy_refcounts";
  if (options.takes_backing) keys += ", backing_file, backing_fmt";
  if (options.takes_size) keys += ", size";
  return keys;
}

OptionValue threads_into(unsigned& threads) {
  threads = std::clamp(std::thread::hardware_concurrency(), 1U, most_threads);
  OptionValue value = count_into(threads, 1, most_threads);
  value.default_text = "one per core";
  return value;
}

OptionValue output_format_into(std::optional<Format>& format) {
  return choice_into(format, plain_formats());
}

OptionValue created_format_into(std::optional<Format>& format) {
  return choice_into(format, and_plain_ones({Format::vpc, Format::vhdx, Format::vdi}));
}

void new_image_options(CommandLine& line, OutputOptions& options) {
  line.option(
      "output-format,O",
      choice_into(options.format,
                  and_plain_ones({Format::zst, Format::gz, Format::xz, Format::lz4, Format::vmdk,
                                  Format::vpc, Format::vhdx, Format::vdi, Format::simg})),
      "format of the output (default: by its suffix, else raw)");
  line.option("compress,c", flag_into(options.compress),
              "compress it; zst, gz, xz, lz4 and vmdk always are");
  line.option("codec", choice_into(options.codec, codec_names()),
              "how to compress qcow2 (default: zlib)");
  line.option(
      "level", count_into(options.level, 1, 19),
      "how hard: 1 to 12 of zlib (default 5), gz and vmdk (6), 1 to 19 of zstd and zst (3), 1 to 9 "
      "of xz (6), 1 to 12 of lz4 (1)");
  OptionValue window;
  window.placeholder = "4K|32K";
  window.default_text = "32K";
  window.set = [&options](const std::string& word) {
    options.small_window = chosen<bool>(word, {{"4K", true}, {"32K", false}});
  };
  line.option("deflate-window", window,
              "4K is what qemu itself writes: larger files, for readers that unpack piece by piece "
              "with the window that qemu asks zlib for; qemu-img and 7-Zip read 32K");
  creation_option(line, options);
}

void creation_option(CommandLine& line, OutputOptions& options) {
  line.option(",o", texts_into(options.creation, "KEY=VALUE,..."),
              "as qemu-img: " + creation_keys(options) +
                  "; vmdk: subformat; vpc: subformat, force_size, and align (convert and create); "
                  "vhdx: subformat, block_size");
}

void backing_options(CommandLine& line, OutputOptions& options) {
  line.option("backing,B", text_into(options.backing, "BASE"),
              "store only what differs from this image, and name it as the backing file");
  line.option("backing-format,F", output_format_into(options.backing_format),
              "format of BASE (default: its content decides)");
}

}  // namespace imgtool

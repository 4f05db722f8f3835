// What the user says of an image that is to be written: the options, as given.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "formats/images/format.hpp"
#include "formats/images/qcow2/create_options.hpp"
#include "imgtool/cli/options.hpp"

namespace imgtool {

struct OutputOptions {
  std::optional<formats::Format> format;                  // nothing: the name's suffix decides
  formats::Format default_format = formats::Format::raw;  // of a name with no suffix that we know
  bool compress = false;
  std::optional<formats::qcow2::Compression> codec;
  std::optional<unsigned> level;
  bool small_window = false;
  std::vector<std::string> creation;  // -o: "key=value,key=value"
  bool takes_backing = false;         // whether the command makes images with a backing file
  std::optional<std::string> backing;
  std::optional<formats::Format> backing_format;
  bool takes_size = false;                   // whether -o may say a size of the disk
  std::optional<std::uint64_t> stated_size;  // by -o size=
  // -S. Nothing: 4 KiB; 0: no holes, and all of the room set aside.
  std::optional<std::uint64_t> smallest_hole;
  bool existing = false;           // -n
  bool follow_references = false;  // of an existing image
  bool target_is_zero = false;
  bool force = false;
  bool resume = false;  // goes on with what an earlier run left
  mode_t mode = 0666;   // of a new file, less the umask
};

// -O, -c, --codec, --level, --deflate-window, -o. `options.takes_backing` is set before.
void new_image_options(CommandLine& line, OutputOptions& options);
// -o alone, in the same way.
void creation_option(CommandLine& line, OutputOptions& options);
// -B and -F.
void backing_options(CommandLine& line, OutputOptions& options);
// raw|qcow2.
OptionValue output_format_into(std::optional<formats::Format>& format);
// raw, qcow2 and what else can be written into later.
OptionValue created_format_into(std::optional<formats::Format>& format);
// For --threads. Sets `threads` to one per core, which holds unless the user says otherwise.
OptionValue threads_into(unsigned& threads);

// The keys of -o, for a sentence.
[[nodiscard]] std::string creation_keys(const OutputOptions& options);
// zlib and zstd.
[[nodiscard]] const Choices<formats::qcow2::Compression>& codec_names();

}  // namespace imgtool

// The options of every command that takes an image.
#pragma once

#include <optional>

#include "formats/image.hpp"
#include "imgtool/options.hpp"

namespace imgtool {

OptionValue format_into(std::optional<formats::Format>& format);

// -f, --follow-references and -l, straight into what open_image() takes, and the exit code for an
// image that needs the second.
void image_options(CommandLine& line, formats::OpenOptions& options);

// qemu-img's spelling of --json, so that scripts need no change.
enum class OutputFormat : std::uint8_t { human, json };
void output_option(CommandLine& line, OutputFormat& output);

}  // namespace imgtool

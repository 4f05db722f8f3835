// The options of every command that takes an image.
#pragma once

#include <optional>

#include "formats/images/image.hpp"
#include "imgtool/cli/options.hpp"

namespace imgtool {

OptionValue format_into(std::optional<formats::Format>& format);
// The same for an option beside whose name there is no room for all formats in a line of help.
OptionValue unlisted_format_into(std::optional<formats::Format>& format);

// -U, for commands that read an image; what they say of it where a lock stops them.
inline constexpr const char* way_past_lock = " (--force-share reads it as it is, maybe torn)";
void force_share_option(CommandLine& line, bool& force_share);

// --trust-maps, for commands that look for free space.
void trust_maps_option(CommandLine& line, bool& trust_maps);

// --drop-swap, for commands that leave out free space.
void drop_swap_option(CommandLine& line, bool& drop_swap);

// --member and --spool, for images in archives and streams.
void container_options(CommandLine& line, formats::OpenOptions& options);
// --spool alone.
void spool_option(CommandLine& line, formats::SpoolOptions& spool);

// -f, --follow-references, -l, --member, --spool and -U, straight into what open_image() takes, and
// the exit code for an image that needs the second or the last.
void image_options(CommandLine& line, formats::OpenOptions& options);

// What qemu-img's users say of caches and of how much is under way, which imgtool decides by
// itself: each that is given is answered by a note on standard error.
void target_cache_option(CommandLine& line);  // -t
void source_cache_option(CommandLine& line);  // -T
void parallelism_options(CommandLine& line);  // -W and -m

// qemu-img's spelling of --json, so that scripts need no change; and its words, for scripts that
// look for these.
enum class AnswerFormat : std::uint8_t { human, json, qemu };
void answer_format_option(CommandLine& line, AnswerFormat& output);

}  // namespace imgtool

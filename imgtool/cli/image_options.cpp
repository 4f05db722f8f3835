#include "imgtool/cli/image_options.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"

namespace imgtool {

namespace {

// As many as fit a line of help; -f takes them all, and is told of the rest in words.
std::string listed_names(const std::vector<std::string>& names) {
  const auto end = std::find(names.begin(), names.end(), name_of(formats::Format::lz4));
  return join({names.begin(), end}, "|");
}

}  // namespace

OptionValue format_into(std::optional<formats::Format>& format) {
  static const std::vector<std::string> names = formats::format_names();
  return {.placeholder = listed_names(names), .set = [&format](const std::string& word) {
            format = formats::format_named(names[parse_choice(word, names)]);
          }};
}

OptionValue unlisted_format_into(std::optional<formats::Format>& format) {
  OptionValue value = format_into(format);
  value.placeholder = "FORMAT";
  return value;
}

void image_options(CommandLine& line, formats::OpenOptions& options) {
  line.option(
      "format,f", format_into(options.format),
      "format of the image, also dmg, lz4, lzma, zip or tar (default: its content decides)");
  line.option("snapshot,l", text_into(options.snapshot, "SNAPSHOT"),
              "the internal snapshot with this id or name, not the disk as it is now");
  line.option("follow-references", flag_into(options.follow_references),
              "open the files that the image names");
  container_options(line, options);
  force_share_option(line, options.force_share);
  options.way_past_lock = way_past_lock;
  line.exit_code(
      exit_code::refused,
      "the image needs --follow-references or --member, or another program writes to it");
}

void container_options(CommandLine& line, formats::OpenOptions& options) {
  line.option("member", text_into(options.member, "NAME"),
              "the image of this name in an archive (zip, tar, OVA) that holds several");
  spool_option(line, options.spool);
}

void spool_option(CommandLine& line, formats::SpoolOptions& spool) {
  line.option("spool", text_into(spool.folder, "DIR"),
              "where an image is unpacked that can only be read so, such as qcow2.xz (default: "
              "$TMPDIR, else /var/tmp)");
  spool.tell = [](const formats::SpoolNote& note) {
    complain(fmt::format("note: {} is unpacked into {} first, where {} are free{}",
                         terminal_text(note.name), terminal_text(note.folder),
                         human_size(note.room),
                         note.size ? ", and takes " + human_size(*note.size) : ""));
  };
}

void trust_maps_option(CommandLine& line, bool& trust_maps) {
  line.option("trust-maps", flag_into(trust_maps),
              "believe what ext, XFS, btrfs and f2fs call free without asking each of their files "
              "whether it agrees; faster where there are millions of files, and said in the "
              "answer");
}

void drop_swap_option(CommandLine& line, bool& drop_swap) {
  line.option("drop-swap", flag_into(drop_swap),
              "also leave out what a system throws away when it starts: the content of "
              "pagefile.sys, swapfile.sys, hiberfil.sys and swap files, which stay with their "
              "sizes. Never where a hibernated system or a crash dump may be in it");
}

void force_share_option(CommandLine& line, bool& force_share) {
  line.option(
      "force-share,U", flag_into(force_share),
      "read it even while another program, such as a virtual machine, writes to it; what is "
      "read may be torn");
}

namespace {

// Checks the word, then says what becomes of it.
OptionValue noted(std::string placeholder, std::function<void(const std::string&)> check,
                  std::string note) {
  return {.placeholder = std::move(placeholder),
          .repeatable = true,
          .set = [check = std::move(check), note = std::move(note)](const std::string& word) {
            check(word);
            complain("note: " + note);
          }};
}

void check_cache_mode(const std::string& word) {
  (void)parse_choice(word, {"none", "writeback", "writethrough", "directsync", "unsafe"});
}

}  // namespace

void target_cache_option(CommandLine& line) {
  line.option("cache,t",
              noted("MODE", check_cache_mode,
                    "-t has no effect: what is written goes past the page cache where that is "
                    "possible, and is flushed before it is said to be done"),
              "qemu-img's cache mode of the output; not needed here");
}

void source_cache_option(CommandLine& line) {
  line.option("source-cache,T",
              noted("MODE", check_cache_mode,
                    "-T has no effect: what is not in the page cache is read past it"),
              "qemu-img's cache mode of the source; not needed here");
}

void parallelism_options(CommandLine& line) {
  line.option(",W",
              noted(
                  "", [](const std::string&) {},
                  "-W has no effect: several parts are always under way at once"),
              "qemu-img's unordered writes; not needed here");
  line.option(",m",
              noted(
                  "N", [](const std::string& word) { (void)parse_count(word, 1, 16); },
                  "-m has no effect: how much is under way follows the disk, and --threads "
                  "says how many compress"),
              "qemu-img's number of coroutines; not needed here");
}

void answer_format_option(CommandLine& line, AnswerFormat& output) {
  line.option("output",
              choice_into(output, {{"human", AnswerFormat::human},
                                   {"json", AnswerFormat::json},
                                   {"qemu", AnswerFormat::qemu}}),
              "json is --json; qemu is text in the words of qemu-img");
}

}  // namespace imgtool

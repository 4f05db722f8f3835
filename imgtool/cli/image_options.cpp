#include "imgtool/cli/image_options.hpp"

#include "imgtool/terminal/exit_code.hpp"

namespace imgtool {

OptionValue format_into(std::optional<formats::Format>& format) {
  static const std::vector<std::string> names = formats::format_names();
  return {.placeholder = join(names, "|"), .set = [&format](const std::string& word) {
            format = formats::format_named(names[parse_choice(word, names)]);
          }};
}

OptionValue unlisted_format_into(std::optional<formats::Format>& format) {
  OptionValue value = format_into(format);
  value.placeholder = "FORMAT";
  return value;
}

void image_options(CommandLine& line, formats::OpenOptions& options) {
  line.option("format,f", format_into(options.format),
              "format of the image (default: its content decides)");
  line.option("snapshot,l", text_into(options.snapshot, "SNAPSHOT"),
              "the internal snapshot with this id or name, not the disk as it is now");
  line.option("follow-references", flag_into(options.follow_references),
              "open the files that the image names");
  force_share_option(line, options.force_share);
  options.way_past_lock = way_past_lock;
  line.exit_code(exit_code::refused,
                 "the image needs --follow-references, or another program writes to it");
}

void trust_maps_option(CommandLine& line, bool& trust_maps) {
  line.option("trust-maps", flag_into(trust_maps),
              "believe what ext, XFS, btrfs and f2fs call free without asking each of their files "
              "whether it agrees; faster where there are millions of files, and said in the "
              "answer");
}

void force_share_option(CommandLine& line, bool& force_share) {
  line.option(
      "force-share,U", flag_into(force_share),
      "read it even while another program, such as a virtual machine, writes to it; what is "
      "read may be torn");
}

void answer_format_option(CommandLine& line, AnswerFormat& output) {
  line.option("output",
              choice_into(output, {{"human", AnswerFormat::human}, {"json", AnswerFormat::json}}),
              "as qemu-img spells it: json is --json");
}

}  // namespace imgtool

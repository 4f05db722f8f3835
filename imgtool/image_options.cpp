#include "imgtool/image_options.hpp"

#include "imgtool/exit_code.hpp"

namespace imgtool {

OptionValue format_into(std::optional<formats::Format>& format) {
  static const std::vector<std::string> names = formats::format_names();
  return {.placeholder = join(names, "|"), .set = [&format](const std::string& word) {
            format = formats::format_named(names[parse_choice(word, names)]);
          }};
}

void image_options(CommandLine& line, formats::OpenOptions& options) {
  line.option("format,f", format_into(options.format),
              "format of the image (default: its content decides)");
  line.option("snapshot,l", text_into(options.snapshot, "SNAPSHOT"),
              "the internal snapshot with this id or name, not the disk as it is now");
  line.option("follow-references", flag_into(options.follow_references),
              "open the files that the image names");
  line.exit_code(exit_code::refused, "the image needs --follow-references");
}

void output_option(CommandLine& line, OutputFormat& output) {
  line.option("output",
              choice_into(output, {{"human", OutputFormat::human}, {"json", OutputFormat::json}}),
              "as qemu-img spells it: json is --json");
}

}  // namespace imgtool

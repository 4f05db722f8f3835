// imgtool amend IMAGE -o KEY=VALUE: what the header of a qcow2 image says about its format.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "formats/images/qcow2/amend.hpp"
#include "formats/images/qcow2/header.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"

namespace imgtool {
namespace {

using formats::qcow2::Amendment;

// What else qemu-img takes has a command of its own here.
std::string_view command_for(std::string_view key) {
  if (key == "backing_file" || key == "backing_fmt") return "imgtool rebase changes that";
  if (key == "size") return "imgtool resize changes that";
  return "imgtool convert makes an image with another one";
}

void take_pair(const std::string& pair, Amendment& amendment) {
  const auto equals = pair.find('=');
  const std::string key = pair.substr(0, equals);
  if (equals == std::string::npos || key.empty()) {
    throw UsageError(fmt::format("amend: -o: '{}' is not key=value", pair));
  }
  const std::string value = pair.substr(equals + 1);
  try {
    if (key == "compat") {
      amendment.version =
          chosen<std::uint32_t>(value, {{"0.10", 2}, {"1.1", 3}, {"v2", 2}, {"v3", 3}});
    } else if (key == "lazy_refcounts") {
      amendment.lazy_refcounts = chosen<bool>(value, {{"on", true}, {"off", false}});
    } else {
      throw UsageError(
          fmt::format("cannot be changed in place; there are compat and "
                      "lazy_refcounts; {}",
                      command_for(key)));
    }
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("amend: -o {}: {}", key, error.what()));
  }
}

Amendment amendment_of(const std::vector<std::string>& lists) {
  Amendment amendment;
  for (std::string_view list : lists) {
    while (!list.empty()) {
      const std::size_t end = std::min(list.find(','), list.size());
      take_pair(std::string(list.substr(0, end)), amendment);
      list.remove_prefix(std::min(end + 1, list.size()));
    }
  }
  return amendment;
}

}  // namespace

int run_amend(const Arguments& arguments) {
  std::string path;
  std::vector<std::string> lists;
  CommandLine line(
      "amend",
      "Changes the format of a qcow2 image in place: makes version 3 of version 2, and "
      "turns lazy refcounts on or off. Killed at any moment, the image is the old one "
      "or the new one.");
  line.argument("IMAGE", path, "qcow2 image");
  line.option("options,o", texts_into(lists, "KEY=VALUE,..."),
              "as qemu-img: compat=1.1, lazy_refcounts=on|off");
  target_cache_option(line);
  line.exit_code(exit_code::refused, "the image is in use or damaged");
  line.example("imgtool amend -o compat=1.1 old.qcow2",
               "for bitmaps, and for clusters of zeros that take no room");
  line.example("imgtool amend -o lazy_refcounts=off disk.qcow2",
               "so that a machine that dies leaves nothing to be repaired");
  if (const auto exit = line.parse(arguments)) return *exit;
  const Amendment amendment = amendment_of(lists);
  if (!amendment.version && !amendment.lazy_refcounts) {
    throw UsageError("amend: -o is missing: compat=1.1 or lazy_refcounts=on|off");
  }
  const io::File file = open_qcow2_alone(path, "a format that can be amended");
  formats::qcow2::amend(file, amendment, stop_flag());
  const auto header = formats::qcow2::read_header(file);
  const char* compat = header.version == 2 ? "0.10" : "1.1";
  if (line.common().json) {
    print_json({{"image", path}, {"compat", compat}, {"lazy-refcounts", header.lazy_refcounts}});
  } else {
    print(terminal_text(fmt::format("{}: compat {}, lazy refcounts {}", path, compat,
                                    header.lazy_refcounts ? "on" : "off")) +
          "\n");
  }
  return exit_code::done;
}

}  // namespace imgtool

// imgtool bitmap IMAGE NAME: the persistent bitmaps of a qcow2 image.
#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>

#include "formats/images/probe.hpp"
#include "formats/images/qcow2/bitmap_editor.hpp"
#include "formats/images/qcow2/free_clusters.hpp"
#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/edited_file.hpp"
#include "imgtool/reports/bitmap_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/human.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "imgtool/terminal/usage_error.hpp"
#include "io/error.hpp"
#include "io/image_lock.hpp"

namespace imgtool {
namespace {

using formats::qcow2::Bitmap;
using formats::qcow2::BitmapEditor;

enum class Step : std::uint8_t { add, remove, clear, enable, disable, merge };

struct BitmapOptions {
  struct Action {
    Step step;
    std::string source;  // of a merge
  };

  std::string path;
  std::string name;
  std::vector<Action> actions;  // in the order in which they were given
  std::optional<std::uint64_t> granularity;
  std::optional<std::string> source_file;
  std::optional<formats::Format> source_format;

  [[nodiscard]] bool does(Step step) const {
    return std::any_of(actions.begin(), actions.end(),
                       [step](const Action& action) { return action.step == step; });
  }
};

OptionValue step_into(BitmapOptions& o, Step step) {
  OptionValue value;
  if (step == Step::merge) value.placeholder = "SRC";
  value.repeatable = true;
  value.set = [&o, step](const std::string& word) { o.actions.push_back({step, word}); };
  return value;
}

// Of another image, whose bitmaps are merged; nothing else of it is looked at.
io::File open_source(const BitmapOptions& o) {
  io::File file(*o.source_file, O_RDONLY);
  const formats::Format format = o.source_format.value_or(formats::probe(file));
  if (format != formats::Format::qcow2) {
    throw io::Error(io::ErrorKind::unsupported, *o.source_file,
                    fmt::format("is {}; only qcow2 images have bitmaps", formats::name_of(format)));
  }
  io::lock_image(file, io::ImageUse::reading);
  return file;
}

void carry_out(BitmapEditor& editor, const BitmapOptions& o, const BitmapOptions::Action& action,
               const io::File& image, const formats::qcow2::Geometry& geometry) {
  switch (action.step) {
    case Step::add:
      editor.add(o.name, o.granularity
                             ? static_cast<std::uint32_t>(std::countr_zero(*o.granularity))
                             : default_granularity_bits(geometry));
      break;
    case Step::remove:
      editor.remove(o.name);
      break;
    case Step::clear:
      editor.clear(o.name);
      break;
    case Step::enable:
    case Step::disable:
      editor.enable(o.name, action.step == Step::enable);
      break;
    case Step::merge:
      if (o.source_file) {
        editor.merge(o.name, open_source(o), action.source);
      } else {
        editor.merge(o.name, image, action.source);
      }
      break;
  }
}

// Gives the bitmap as it is now; nothing where it was removed.
std::optional<Bitmap> change(const BitmapOptions& o) {
  const io::File image = open_qcow2_alone(o.path, "bitmaps");
  if (o.source_file && io::status_of(*o.source_file).identity == image.status().identity) {
    throw UsageError("bitmap: -b is for another image; without it SRC is one of IMAGE");
  }
  BitmapEditor editor(image, stop_flag());
  const auto geometry = formats::qcow2::read_header(image).geometry;
  for (const auto& action : o.actions) carry_out(editor, o, action, image, geometry);
  std::optional<Bitmap> left;
  if (const Bitmap* bitmap = editor.find(o.name)) left = *bitmap;
  editor.finish();
  const io::StopFlag to_the_end{0};
  formats::qcow2::release_room_behind(image, to_the_end);
  return left;
}

void report(const BitmapOptions& o, const std::optional<Bitmap>& bitmap, bool json) {
  if (json) {
    print_json({{"image", o.path}, {"bitmap", bitmap ? bitmap_json(*bitmap) : Json()}});
    return;
  }
  std::string text = fmt::format("{}: bitmap '{}' ", o.path, o.name);
  if (bitmap) {
    text += fmt::format("{}, granularity {}", bitmap->automatic ? "records" : "is disabled",
                        human_size(std::uint64_t{1} << bitmap->granularity_bits));
  } else {
    text += "removed";
  }
  print(terminal_text(text) + "\n");
}

void describe(CommandLine& line, BitmapOptions& o) {
  line.argument("IMAGE", o.path, "qcow2 image of version 3");
  line.argument("NAME", o.name, "of the bitmap");
  line.option("add", step_into(o, Step::add),
              "make a new one, empty, that records what is written");
  line.option(
      "granularity,g", size_into(o.granularity),
      "of a new one: how much of the disk each bit stands for; a power of two from 512 to 2G "
      "(default: a cluster, from 4K to 64K)");
  line.option("remove", step_into(o, Step::remove), "remove it; also one that was not closed");
  line.option("clear", step_into(o, Step::clear), "forget what it recorded");
  line.option("enable", step_into(o, Step::enable), "record what is written from now on");
  line.option("disable", step_into(o, Step::disable), "keep it as it is");
  line.option("merge", step_into(o, Step::merge), "add what the bitmap SRC has");
  line.option("source,b", text_into(o.source_file, "FILE"),
              "the qcow2 image that SRC is in (default: IMAGE)");
  line.option("source-format,F", unlisted_format_into(o.source_format),
              "format of that (default: its content decides)");
  line.exit_code(
      exit_code::refused,
      "the image is in use or damaged, or the bitmap is not there, or cannot be trusted");
  line.example("imgtool bitmap disk.qcow2 nightly --add", "record what is written from now on");
  line.example("imgtool bitmap disk.qcow2 week --merge nightly", "and what another one recorded");
}

}  // namespace

int run_bitmap(const Arguments& arguments) {
  BitmapOptions o;
  CommandLine line("bitmap",
                   "Changes a persistent bitmap of a qcow2 image, in place: a record of what was "
                   "written, for incremental backups. Several changes are made in the order in "
                   "which they are given, all of them or none. imgtool info lists the bitmaps.");
  describe(line, o);
  if (const auto exit = line.parse(arguments)) return *exit;
  if (o.actions.empty()) {
    throw UsageError(
        "bitmap: say what to do: --add, --remove, --clear, --enable, --disable or --merge SRC");
  }
  if (o.granularity && !o.does(Step::add)) throw UsageError("bitmap: -g needs --add");
  if (o.granularity && (!std::has_single_bit(*o.granularity) || *o.granularity < 512 ||
                        *o.granularity > 2 * io::GiB)) {
    throw UsageError("bitmap: -g: must be a power of two from 512 to 2G");
  }
  if ((o.source_file || o.source_format) && !o.does(Step::merge)) {
    throw UsageError("bitmap: -b and -F need --merge");
  }
  report(o, change(o), line.common().json);
  return exit_code::done;
}

}  // namespace imgtool

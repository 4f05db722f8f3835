// imgtool map: where the content of an image is stored, with qemu-img's JSON keys.
#include <algorithm>
#include <iterator>

#include <fmt/format.h>

#include "imgtool/cli/image_options.hpp"
#include "imgtool/command.hpp"
#include "imgtool/jobs/image_source.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/exit_code.hpp"
#include "imgtool/terminal/report.hpp"
#include "imgtool/terminal/signals.hpp"
#include "io/error.hpp"

namespace imgtool {
namespace {

using formats::Placement;

struct MapOptions {
  std::string path;
  formats::OpenOptions image;
  std::uint64_t start_offset = 0;
  std::optional<std::uint64_t> max_length;
};

// A map can be of any length. So that a failure in the middle still leaves one JSON document,
// it is held back up to this size.
constexpr std::size_t held_back_bytes = std::size_t{32} << 20;

class MapPrinter {
 public:
  // `files`: where what is at each depth is stored.
  MapPrinter(AnswerFormat format, std::vector<const io::File*> files)
      : format_(format), files_(std::move(files)) {
    text_ = heading(format);
  }

  void add(const Placement& placement) {
    switch (format_) {
      case AnswerFormat::human:
        add_line(placement);
        break;
      case AnswerFormat::json:
        add_json(placement);
        break;
      case AnswerFormat::qemu:
        add_mapped(placement);
        break;
    }
    if (text_.size() >= held_back_bytes) write();
  }

  void finish() {
    if (format_ == AnswerFormat::json) text_ += "]\n";
    write();
  }

  // After a failure: what was begun on standard output is ended, and stays one document.
  void give_up() {
    if (format_ == AnswerFormat::json && printed_ == Printed::part) finish();
  }

 private:
  enum class Printed : std::uint8_t { nothing, part, broken };

  static std::string heading(AnswerFormat format) {
    switch (format) {
      case AnswerFormat::json:
        return "[";
      case AnswerFormat::qemu:
        return fmt::format("{:<16}{:<16}{:<16}{}\n", "Offset", "Length", "Mapped to", "File");
      case AnswerFormat::human:
        break;
    }
    return fmt::format("{:>16} {:>16}  {:>5} {:<12} {}\n", "offset", "length", "depth", "kind",
                       "stored at");
  }

  void add_json(const Placement& placement) {
    fmt::format_to(std::back_inserter(text_),
                   "{}{{ \"start\": {}, \"length\": {}, \"depth\": {}, \"present\": {}, "
                   "\"zero\": {}, \"data\": {}, \"compressed\": {}",
                   first_ ? "" : ",\n", placement.range.offset, placement.range.length,
                   placement.depth, placement.present, placement.zero, placement.data,
                   placement.compressed);
    if (placement.offset) {
      fmt::format_to(std::back_inserter(text_), ", \"offset\": {}", *placement.offset);
    }
    text_ += '}';
    first_ = false;
  }

  void add_line(const Placement& placement) {
    fmt::format_to(std::back_inserter(text_), "{:>16} {:>16}  {:>5} {:<12} {}\n",
                   placement.range.offset, placement.range.length, placement.depth,
                   kind_of(placement), placement.offset ? fmt::to_string(*placement.offset) : "-");
  }

  // qemu-img lists only what is stored somewhere.
  void add_mapped(const Placement& placement) {
    if (!placement.data || placement.zero || !placement.offset || placement.range.length == 0) {
      return;
    }
    const std::size_t depth = std::min<std::size_t>(placement.depth, files_.size() - 1);
    fmt::format_to(std::back_inserter(text_), "{:<#16x}{:<#16x}{:<#16x}{}\n",
                   placement.range.offset, placement.range.length, *placement.offset,
                   terminal_text(files_[depth]->path()));
  }

  static std::string_view kind_of(const Placement& placement) {
    if (placement.compressed) return "compressed";
    if (placement.zero) return placement.present ? "zero" : "unallocated";
    return placement.data ? "data" : "backing file";
  }

  void write() {
    printed_ = Printed::broken;  // unless all of it arrives
    format_ == AnswerFormat::json ? print_json_text(text_) : print(text_);
    printed_ = Printed::part;
    text_.clear();
  }

  AnswerFormat format_;
  std::vector<const io::File*> files_;
  bool first_ = true;
  Printed printed_ = Printed::nothing;
  std::string text_;
};

bool continues(const Placement& a, const Placement& b) {
  if (a.depth != b.depth || a.present != b.present || a.zero != b.zero || a.data != b.data ||
      a.compressed != b.compressed || a.offset.has_value() != b.offset.has_value()) {
    return false;
  }
  return !a.offset || *a.offset + a.range.length == *b.offset;
}

void list(formats::Image& image, io::ByteRange wanted, MapPrinter& printer) {
  std::optional<Placement> held;
  for (std::uint64_t offset = wanted.offset; offset < wanted.end();) {
    io::throw_if_stopped(stop_flag(), image.name());
    Placement next = image.placement_at(offset);
    next.range.length = std::min(next.range.length, wanted.end() - offset);
    offset += next.range.length;
    if (held && continues(*held, next)) {
      held->range.length += next.range.length;
      continue;
    }
    if (held) printer.add(*held);
    held = next;
  }
  // qemu-img lists an empty image as one empty extent.
  if (!held) held.emplace().range.offset = wanted.offset;
  printer.add(*held);
  printer.finish();
}

void print_map(formats::Image& image, io::ByteRange wanted, AnswerFormat format) {
  MapPrinter printer(format, image.files());
  try {
    list(image, wanted, printer);
  } catch (const std::exception&) {
    printer.give_up();
    throw;
  }
}

}  // namespace

int run_map(const Arguments& arguments) {
  MapOptions options;
  AnswerFormat output = AnswerFormat::human;
  options.image.layout_only = true;
  CommandLine line("map",
                   "Lists how the content of IMAGE is stored, with the JSON keys of qemu-img. "
                   "Without --follow-references, what a backing file holds is listed as neither "
                   "data nor zero.");
  line.argument("IMAGE", options.path, "image to look at");
  image_options(line, options.image);
  line.option("start-offset", size_into(options.start_offset), "where to begin");
  line.option("max-length", size_into(options.max_length), "how much to look at");
  answer_format_option(line, output);
  line.example("imgtool map --json golden.qcow2", "for a script written for qemu-img");
  line.example("imgtool map --start-offset 1G --max-length 1M golden.qcow2", "a part of it");
  if (const auto exit = line.parse(arguments)) return *exit;

  const io::MadeRing made = io::make_ring({});
  const auto image = formats::open_image(*made.ring, options.path, options.image);
  if (options.image.force_share) note_writers(*image);
  if (!image->seekable()) {
    throw io::Error(
        io::ErrorKind::unsupported, options.path,
        fmt::format("is a {} stream, which has no map of its content", name_of(image->format())));
  }
  const std::uint64_t size = *image->size();
  const std::uint64_t start = std::min(options.start_offset, size);
  const std::uint64_t length = std::min(options.max_length.value_or(size), size - start);
  if (line.common().json) output = AnswerFormat::json;
  print_map(*image, {start, length}, output);
  return exit_code::done;
}

}  // namespace imgtool

#include "imgtool/reports/disk_picture.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "imgtool/reports/markup.hpp"
#include "imgtool/reports/treemap.hpp"
#include "imgtool/terminal/human.hpp"

namespace imgtool {
namespace {

using formats::VolumeAnalysis;
using formats::partitions::Partition;

constexpr std::size_t columns = 64;
constexpr std::size_t most_rows = 24;
constexpr std::uint64_t least_cell = 4096;
constexpr std::size_t pitch = 14;   // of a cell, in units of the picture
constexpr std::size_t margin = 72;  // for the offsets at the left

enum class Kind : std::uint8_t { used, unpartitioned, zeros, free, hole };

struct KindFacts {
  const char* name;
  const char* means;
};
constexpr std::array<KindFacts, 5> kinds = {{
    {"in use", "stored, and in use or not known to be free"},
    {"unpartitioned", "stored outside of all partitions: tables, boot loaders, leftovers"},
    {"zeros", "stored, but nothing but zeros"},
    {"free", "stored, but in use by no file system"},
    {"nothing", "takes no space in the image"},
}};

constexpr std::string_view colours = R"(
.k0{fill:#2f6fb3}.k1{fill:#7d5fb0}.k2{fill:#c9ad2b}.k3{fill:#dd6b20}.k4{fill:#e4e6ea}
.p{fill:#444}.q{fill:#999}text{fill:#333;font:11px sans-serif}
.c:hover,.c:focus{stroke:#000;stroke-width:2;outline:none}
@media(prefers-color-scheme:dark){
.k0{fill:#5b9bdd}.k1{fill:#a98be0}.k2{fill:#e0c94f}.k3{fill:#f08a4b}.k4{fill:#33373d}
.p{fill:#ccc}.q{fill:#888}text{fill:#ddd}.c:hover,.c:focus{stroke:#fff}}
text.n{fill:#000;stroke:#fff;stroke-width:3;paint-order:stroke;font-weight:bold}
)";

constexpr std::string_view page_style = R"(
body{font:15px/1.5 sans-serif;margin:1.5em auto;padding:0 1em;max-width:62em;color:#222;background:#fff}
h1,p{overflow-wrap:anywhere}
svg{width:100%;min-width:40em;height:auto;display:block}.wide{overflow-x:auto}
table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;text-align:right;white-space:nowrap}
td.t,th.t{text-align:left}.swatch{display:inline-block;width:.8em;height:.8em;margin-right:.4em}
#detail{min-height:3em;font-weight:bold}
.b0{background:#2f6fb3}.b1{background:#7d5fb0}.b2{background:#c9ad2b}.b3{background:#dd6b20}.b4{background:#e4e6ea}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#17191c}
.b0{background:#5b9bdd}.b1{background:#a98be0}.b2{background:#e0c94f}.b3{background:#f08a4b}.b4{background:#33373d}}
)";

// Arrows, Home and End walk over the cells; what has the focus, or the mouse, is told below.
constexpr std::string_view script = R"(
const cells=[...document.querySelectorAll('.c')],detail=document.getElementById('detail');
const tell=c=>detail.textContent=c.querySelector('title').textContent;
const steps={ArrowRight:1,ArrowLeft:-1,ArrowDown:64,ArrowUp:-64};
cells.forEach((c,i)=>{c.tabIndex=i?-1:0;
c.addEventListener('mouseenter',()=>tell(c));c.addEventListener('focus',()=>tell(c));
c.addEventListener('keydown',e=>{
const to=e.key==='Home'?0:e.key==='End'?cells.length-1:e.key in steps?i+steps[e.key]:-1;
if(!cells[to])return;
e.preventDefault();c.tabIndex=-1;cells[to].tabIndex=0;cells[to].focus()})});
)";

using Kinds = io::RangeMap<Kind>;

// Calls `change` for all that is stored in `range`.
template <class Change>
void for_stored(const formats::StorageMap& map, io::ByteRange range, const Change& change) {
  if (range.empty()) return;
  for (auto it = map.find(range.offset); it != map.end(); ++it) {
    const auto entry = *it;
    if (entry.range.offset >= range.end()) break;
    const bool stored = entry.value == io::ExtentKind::data || entry.value == io::ExtentKind::zero;
    if (stored) change(io::intersection(entry.range, range), entry.value);
  }
}

Kinds kinds_of(const ImageAnalysis& analysis) {
  const formats::StorageMap& map = analysis.map;
  Kinds result(map.size(), Kind::hole);
  for_stored(map, {0, map.size()}, [&](io::ByteRange range, io::ExtentKind kind) {
    result.set(range, kind == io::ExtentKind::zero ? Kind::zeros : Kind::used);
  });
  for (const io::ByteRange& gap : analysis.disk.unpartitioned_ranges) {
    for_stored(map, gap, [&](io::ByteRange range, io::ExtentKind kind) {
      if (kind == io::ExtentKind::data) result.set(range, Kind::unpartitioned);
    });
  }
  for (const io::ByteRange& free : analysis.disk.free_ranges) {
    for_stored(map, free,
               [&](io::ByteRange range, io::ExtentKind) { result.set(range, Kind::free); });
  }
  return result;
}

struct Cell {
  io::ByteRange range;
  std::array<std::uint64_t, kinds.size()> bytes{};

  [[nodiscard]] std::size_t kind() const {
    return static_cast<std::size_t>(std::max_element(bytes.begin(), bytes.end()) - bytes.begin());
  }
};

// Every cell has the same size but the last.
std::vector<Cell> cells_of(const Kinds& map) {
  const std::uint64_t most = columns * most_rows;
  const std::uint64_t even = (map.size() + most - 1) / most;
  const std::uint64_t size = std::max(io::align_up(even, least_cell), least_cell);
  std::vector<Cell> cells;
  cells.reserve(map.size() / size + 1);
  for (std::uint64_t at = 0; at < map.size(); at += size) {
    cells.push_back({io::range_between(at, std::min(at + size, map.size())), {}});
  }
  for (const auto& entry : map) {
    for (std::size_t i = entry.range.offset / size;
         i < cells.size() && cells[i].range.offset < entry.range.end(); ++i) {
      cells[i].bytes[static_cast<std::size_t>(entry.value)] +=
          io::intersection(entry.range, cells[i].range).length;
    }
  }
  return cells;
}

const Partition* partition_at(const ImageAnalysis& analysis, const Cell& cell) {
  const std::uint64_t middle = cell.range.offset + cell.range.length / 2;
  for (const Partition& partition : analysis.disk.layout.partitions) {
    if (partition.range.contains(middle)) return &partition;
  }
  return nullptr;
}

std::string title_of(const Cell& cell, const Partition* partition) {
  std::string text =
      fmt::format("{} to {}", human_size(cell.range.offset), human_size(cell.range.end()));
  if (partition != nullptr) {
    text += fmt::format(", partition {}", partition->number);
    if (!partition->name.empty()) text += fmt::format(" ({})", harmless_markup(partition->name));
  }
  text += ':';
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    if (cell.bytes[kind] == 0) continue;
    text += fmt::format(" {} {},", human_size(cell.bytes[kind]), kinds[kind].name);
  }
  text.pop_back();
  return text;
}

// `title` is for those who only hear the picture.
std::string picture(const ImageAnalysis& analysis, const std::vector<Cell>& cells,
                    std::string_view title) {
  const std::size_t rows = (cells.size() + columns - 1) / columns;
  const std::size_t width = margin + columns * pitch;
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"group\" "
      "aria-label=\"{}\"><style>{}</style>\n",
      width, std::max<std::size_t>(rows, 1) * (pitch + 4) + 2, harmless_markup(title), colours);
  const Partition* before = nullptr;
  for (std::size_t index = 0; index < cells.size(); ++index) {
    const std::size_t x = margin + index % columns * pitch;
    const std::size_t y = index / columns * (pitch + 4);
    const Cell& cell = cells[index];
    if (index % columns == 0) {
      text += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\n", margin - 6,
                          y + 11, human_size(cell.range.offset));
    }
    const Partition* partition = partition_at(analysis, cell);
    const std::string what = title_of(cell, partition);
    text += fmt::format(
        "<rect class=\"c k{}\" role=\"img\" aria-label=\"{}\" x=\"{}\" y=\"{}\" width=\"13\" "
        "height=\"13\"><title>{}</title></rect>",
        cell.kind(), what, x, y, what);
    if (partition != nullptr) {
      text += fmt::format("<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"2\"/>",
                          partition->number % 2 == 1 ? 'p' : 'q', x, y + 14, pitch);
      if (partition != before) {
        text += fmt::format("<text class=\"n\" x=\"{}\" y=\"{}\" pointer-events=\"none\">{}</text>",
                            x + 2, y + 11, partition->number);
      }
    }
    before = partition;
    text += '\n';
  }
  return text + "</svg>\n";
}

std::string name_of_picture(const ImageAnalysis& analysis) {
  return fmt::format("Map of {}, {}", analysis.path, human_size(analysis.disk.disk.size));
}

std::string legend(const Kinds& map) {
  std::string text = "<ul>\n";
  for (std::size_t kind = 0; kind < kinds.size(); ++kind) {
    text += fmt::format("<li><span class=\"swatch b{}\"></span>{}: {}, {}</li>\n", kind,
                        kinds[kind].name, human_size(map.total(static_cast<Kind>(kind))),
                        kinds[kind].means);
  }
  return text + "<li>the line below the cells: a partition, its number where it begins</li></ul>\n";
}

std::string row(const VolumeAnalysis& found) {
  const auto& file_system = found.volume.file_system;
  const bool known = !file_system.kept_whole();
  return fmt::format(
      "<tr><td class=\"t\">{}</td><td class=\"t\">{}</td><td class=\"t\">{}</td><td>{}</td>"
      "<td>{}</td><td>{}</td><td>{}</td><td class=\"t\">{}</td></tr>\n",
      harmless_markup(found.volume.name()), harmless_markup(file_system.type),
      harmless_markup(file_system.label), human_size(found.volume.range.length),
      human_size(found.used), known ? human_size(found.free.size) : "?",
      known ? human_size(found.free.stored()) : "?", harmless_markup(file_system.kept_because));
}

std::string volumes(const ImageAnalysis& analysis) {
  std::string text =
      "<div class=\"wide\"><table><thead><tr><th class=\"t\">place</th><th class=\"t\">content</th>"
      "<th class=\"t\">label</th><th>size</th><th>in use</th><th>free</th><th>free, stored</th>"
      "<th class=\"t\">why all of it counts as used</th></tr></thead><tbody>\n";
  for (const VolumeAnalysis& found : analysis.disk.volumes) text += row(found);
  return text + "</tbody></table></div>\n";
}

}  // namespace

std::string to_svg(const ImageAnalysis& analysis) {
  return picture(analysis, cells_of(kinds_of(analysis)), name_of_picture(analysis));
}

std::string to_html(const ImageAnalysis& analysis) {
  const Kinds map = kinds_of(analysis);
  const std::string title = harmless_markup(name_of_picture(analysis));
  std::string text = fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<title>{}</title><style>{}{}</style></head>\n<body><h1>{}</h1>\n",
      title, page_style, analysis.files ? treemap_style : "", title);
  text += fmt::format("<p>{}.</p>\n", harmless_markup(summary(analysis)));
  text += "<div class=\"wide\">\n";
  text += picture(analysis, cells_of(map), name_of_picture(analysis)) + "</div>\n";
  text +=
      "<p id=\"detail\" aria-live=\"polite\">Point at a cell, or walk over them with the "
      "arrow keys.</p>\n";
  text += legend(map) + volumes(analysis);
  if (analysis.files) text += treemaps(*analysis.files);
  return text + fmt::format("<script>{}{}</script></body></html>\n", script,
                            analysis.files ? treemap_script : "");
}

}  // namespace imgtool

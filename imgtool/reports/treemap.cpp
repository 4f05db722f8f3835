#include "imgtool/reports/treemap.hpp"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>

#include "imgtool/reports/markup.hpp"
#include "imgtool/reports/survey_report.hpp"
#include "imgtool/terminal/escape.hpp"
#include "imgtool/terminal/human.hpp"

namespace imgtool {
namespace {

using formats::FileSurvey;
using formats::FileUse;
using formats::PicturedFolder;

constexpr Box whole{0, 0, 960, 540};
constexpr double title_height = 14;  // of a folder whose name is shown
constexpr double padding = 2;
constexpr double least_side = 3;      // what is smaller is left to the folder that it lies in
constexpr double letter_width = 6.6;  // about
constexpr std::size_t shades = 4;     // of folders in folders, then again the first

// The worst ratio of the sides of boxes of these sizes, in a row along `side`.
double worst(double sum, double least, double most, double side) {
  return std::max(side * side * most / (sum * sum), sum * sum / (side * side * least));
}

// Puts a row of boxes along the shorter side of `box`, which becomes what is left of it.
void lay_row(Box& box, const std::vector<double>& areas, std::size_t first, std::size_t end,
             double sum, std::vector<Box>& result) {
  const bool upright = box.width >= box.height;
  const double side = upright ? box.height : box.width;
  const double depth = side > 0 ? sum / side : 0;
  double at = upright ? box.y : box.x;
  for (std::size_t i = first; i < end; ++i) {
    const double length = depth > 0 ? areas[i] / depth : 0;
    result.push_back(upright ? Box{box.x, at, depth, length} : Box{at, box.y, length, depth});
    at += length;
  }
  if (upright) {
    box.x += depth;
    box.width -= depth;
  } else {
    box.y += depth;
    box.height -= depth;
  }
}

struct Tile {
  std::size_t folder;
  Box box;
  unsigned depth;
};

// Where all folders of a picture that are large enough to be seen lie, each in front of those in
// it.
class Tiles {
 public:
  explicit Tiles(const std::vector<PicturedFolder>& folders) : folders_(folders) {
    children_.resize(folders.size());
    for (std::size_t i = 1; i < folders.size(); ++i) children_[folders[i].parent].push_back(i);
    std::vector<Tile> open{{0, whole, 0}};
    while (!open.empty()) {
      const Tile tile = open.back();
      open.pop_back();
      all_.push_back(tile);
      const auto inside = inner_tiles(tile);
      open.insert(open.end(), inside.rbegin(), inside.rend());
    }
  }

  [[nodiscard]] const std::vector<Tile>& all() const { return all_; }

  [[nodiscard]] static bool has_title(const Box& box) {
    return box.width > 6 * letter_width && box.height > 2 * title_height;
  }

 private:
  // What is in a folder itself has room there, too, and is not drawn.
  [[nodiscard]] std::vector<Tile> inner_tiles(const Tile& tile) {
    std::vector<std::size_t> inner = children_[tile.folder];
    std::erase_if(inner, [&](std::size_t i) { return folders_[i].stored == 0; });
    std::stable_sort(inner.begin(), inner.end(), [&](std::size_t a, std::size_t b) {
      return folders_[a].stored > folders_[b].stored;
    });
    Box box = tile.box;
    const double title = has_title(box) ? title_height : padding;
    box = {box.x + padding, box.y + title, box.width - 2 * padding, box.height - title - padding};
    if (inner.empty() || box.width < least_side || box.height < least_side) return {};
    std::vector<double> sizes;
    double rest = static_cast<double>(folders_[tile.folder].stored);
    for (const std::size_t i : inner) {
      sizes.push_back(static_cast<double>(folders_[i].stored));
      rest -= sizes.back();
    }
    if (rest > 0) {
      // In its place among the others, and then left empty.
      const auto place = std::partition_point(sizes.begin(), sizes.end(),
                                              [&](double size) { return size >= rest; });
      const auto index = place - sizes.begin();
      sizes.insert(place, rest);
      inner.insert(inner.begin() + index, tile.folder);
    }
    const std::vector<Box> boxes = squarified(box, sizes);
    std::vector<Tile> tiles;
    for (std::size_t i = 0; i < inner.size(); ++i) {
      const bool is_seen = boxes[i].width >= least_side && boxes[i].height >= least_side;
      if (inner[i] != tile.folder && is_seen) tiles.push_back({inner[i], boxes[i], tile.depth + 1});
    }
    return tiles;
  }

  const std::vector<PicturedFolder>& folders_;
  std::vector<std::vector<std::size_t>> children_;
  std::vector<Tile> all_;
};

std::string path_of(const std::vector<PicturedFolder>& folders, std::size_t index) {
  if (index == 0) return "/";
  std::string path;
  for (; index != 0; index = folders[index].parent) path.insert(0, '/' + folders[index].name);
  return path;
}

std::string shape_of(const FileSurvey& survey, const Tile& tile) {
  const PicturedFolder& folder = survey.picture[tile.folder];
  std::string what =
      fmt::format("{}: {}", path_of(survey.picture, tile.folder), human_size(folder.stored));
  if (folder.use != FileUse::unknown) what += fmt::format(", {}", phrase_of(folder.use));
  const std::string title = harmless_markup(what);
  const Box& box = tile.box;
  std::string text = fmt::format(
      "<rect class=\"m {}\" role=\"img\" aria-label=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\" "
      "width=\"{:.1f}\" height=\"{:.1f}\"><title>{}</title></rect>",
      folder.use == FileUse::unknown ? fmt::format("s{}", tile.depth % shades) : "sw", title, box.x,
      box.y, box.width, box.height, title);
  if (Tiles::has_title(box)) {
    const auto letters = static_cast<std::size_t>((box.width - 6) / letter_width);
    const std::string name = tile.folder == 0 ? "/" : terminal_text(folder.name);
    text += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" pointer-events=\"none\">{}</text>",
                        box.x + 4, box.y + 11, harmless_markup(fit_columns(name, letters)));
  }
  return text + '\n';
}

std::string tree_picture(const VolumeFiles& found) {
  std::string text = fmt::format(
      "<div class=\"wide\"><svg class=\"tree\" xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 "
      "{} {}\" role=\"group\" aria-label=\"{}\">\n",
      whole.width, whole.height, harmless_markup("Folders of " + found.place));
  const Tiles tiles(found.survey.picture);
  for (const Tile& tile : tiles.all()) text += shape_of(found.survey, tile);
  return text +
         "</svg></div>\n<p class=\"told\" aria-live=\"polite\">Point at a folder, or walk over "
         "them "
         "with the arrow keys.</p>\n";
}

std::string files_of(const FileSurvey& survey) {
  std::string text =
      "<div class=\"wide\"><table><thead><tr><th>stored</th><th class=\"t\">file</th>"
      "<th class=\"t\">what it is</th></tr></thead><tbody>\n";
  for (const auto& file : survey.largest_files) {
    text += fmt::format("<tr><td>{}</td><td class=\"t\">{}</td><td class=\"t\">{}</td></tr>\n",
                        human_size(file.stored), harmless_markup(file.path), phrase_of(file.use));
  }
  return text + "</tbody></table></div>\n";
}

}  // namespace

const std::string_view treemap_style = R"(
.m{stroke:#fff;stroke-width:1}.tree text{fill:#111;font:11px sans-serif}
.s0{fill:#cfe0f3}.s1{fill:#b3cfec}.s2{fill:#97bde4}.s3{fill:#7baadb}.sw{fill:#f2a65a}
.m:hover,.m:focus{stroke:#000;stroke-width:3;outline:none}.told{min-height:3em;font-weight:bold}
.bs{background:#97bde4}.bw{background:#f2a65a}
@media(prefers-color-scheme:dark){.m{stroke:#17191c}.tree text{fill:#fff}
.s0{fill:#1f3a57}.s1{fill:#274a6f}.s2{fill:#305a86}.s3{fill:#396a9d}.sw{fill:#a85a16}
.m:hover,.m:focus{stroke:#fff}.bs{background:#4a86c4}.bw{background:#d9751f}}
)";

// Arrows, Home and End walk over the folders, each in front of those in it.
const std::string_view treemap_script = R"(
document.querySelectorAll('.tree').forEach(tree=>{
const tiles=[...tree.querySelectorAll('.m')],told=tree.parentNode.nextElementSibling;
const tell=t=>told.textContent=t.querySelector('title').textContent;
const steps={ArrowRight:1,ArrowLeft:-1,ArrowDown:1,ArrowUp:-1};
tiles.forEach((t,i)=>{t.tabIndex=i?-1:0;
t.addEventListener('mouseenter',()=>tell(t));t.addEventListener('focus',()=>tell(t));
t.addEventListener('keydown',e=>{
const to=e.key==='Home'?0:e.key==='End'?tiles.length-1:e.key in steps?i+steps[e.key]:-1;
if(!tiles[to])return;
e.preventDefault();t.tabIndex=-1;tiles[to].tabIndex=0;tiles[to].focus()})})});
)";

std::vector<Box> squarified(Box box, const std::vector<double>& sizes) {
  const double sum = std::accumulate(sizes.begin(), sizes.end(), 0.0);
  const double scale = sum > 0 ? box.width * box.height / sum : 0;
  std::vector<double> areas;
  areas.reserve(sizes.size());
  for (const double size : sizes) areas.push_back(size * scale);
  std::vector<Box> result;
  for (std::size_t first = 0; first < areas.size();) {
    const double side = std::min(box.width, box.height);
    double row = areas[first];
    std::size_t end = first + 1;
    // One more, as long as that makes no box of the row longer than the longest one is now.
    while (end < areas.size() && worst(row + areas[end], areas[end], areas[first], side) <=
                                     worst(row, areas[end - 1], areas[first], side)) {
      row += areas[end++];
    }
    lay_row(box, areas, first, end, row, result);
    first = end;
  }
  return result;
}

std::string treemaps(const std::vector<VolumeFiles>& volumes) {
  std::string text;
  for (const VolumeFiles& found : volumes) {
    text += fmt::format("<h2>Files of {}</h2>\n", harmless_markup(found.place));
    if (!found.unread_because.empty()) {
      text += fmt::format("<p>{}</p>\n", harmless_markup(found.unread_because));
      continue;
    }
    text +=
        fmt::format("<p>{} in {}, {}.</p>\n", number_of(found.survey.files, "file"),
                    number_of(found.survey.folders + 1, "folder"), human_size(found.survey.stored));
    text += tree_picture(found);
    text +=
        "<ul><li><span class=\"swatch bs\"></span>folders, as large as what they take</li>\n"
        "<li><span class=\"swatch bw\"></span>what a system does without, or makes "
        "again</li></ul>\n";
    text += files_of(found.survey);
  }
  return text;
}

}  // namespace imgtool

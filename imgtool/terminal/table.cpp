#include "imgtool/terminal/table.hpp"

#include <algorithm>
#include <cassert>

#include "imgtool/terminal/escape.hpp"

namespace imgtool {
namespace {

constexpr std::size_t gap = 2;  // between columns

std::size_t total_width(const std::vector<std::size_t>& widths) {
  std::size_t total = 0;
  for (const std::size_t width : widths) {
    total += width > 0 ? width + gap : 0;
  }
  return total > gap ? total - gap : 0;
}

std::string cut_back(std::string text, std::size_t columns) {
  while (display_columns(text) + 2 > columns && !text.empty()) {
    while (is_continuation(text.back())) {
      text.pop_back();
    }
    text.pop_back();
  }
  return text + "..";
}

}  // namespace

void Table::add(const std::vector<std::string>& cells) {
  assert(cells.size() == columns_.size());
  std::vector<std::string>& row = rows_.emplace_back();
  for (const std::string& cell : cells) {
    row.push_back(terminal_text(cell));
  }
}

// 0 for a column that is left out.
std::vector<std::size_t> Table::fitted_widths(std::optional<std::size_t> width) const {
  std::vector<std::size_t> natural(columns_.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    for (const auto& row : rows_) {
      natural[i] = std::max(natural[i], display_columns(row[i]));
    }
    natural[i] = natural[i] > 0 ? std::max(natural[i], columns_[i].title.size()) : 0;
  }
  if (!width) {
    return natural;
  }
  while (true) {
    std::vector<std::size_t> widths = natural;
    std::size_t excess = total_width(widths) > *width ? total_width(widths) - *width : 0;
    std::size_t leaving = columns_.size();
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i].cut != Column::Cut::never && widths[i] > columns_[i].least) {
        const std::size_t given = std::min(excess, widths[i] - columns_[i].least);
        widths[i] -= given;
        excess -= given;
      }
      if (natural[i] > 0 && columns_[i].leaves > 0 &&
          (leaving == columns_.size() || columns_[i].leaves > columns_[leaving].leaves)) {
        leaving = i;
      }
    }
    if (excess == 0 || leaving == columns_.size()) {
      return widths;
    }
    natural[leaving] = 0;
  }
}

std::string Table::line(const std::vector<std::string>& cells,
                        const std::vector<std::size_t>& widths) const {
  std::string line;
  std::size_t owed = 0;  // blanks, held back so that no line ends with them
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (widths[i] == 0) {
      continue;
    }
    std::string text = cells[i];
    if (display_columns(text) > widths[i]) {
      text = columns_[i].cut == Column::Cut::front ? fit_columns(text, widths[i])
                                                   : cut_back(std::move(text), widths[i]);
    }
    const std::size_t columns = std::min(display_columns(text), widths[i]);
    const std::size_t blanks = widths[i] - columns;
    const std::size_t before = columns_[i].right_aligned ? blanks : 0;
    if (!text.empty()) {
      line += std::string(owed + before, ' ') + text;
      owed = 0;
    } else {
      owed += before;
    }
    owed += blanks - before + gap;
  }
  return line;
}

std::vector<std::string> Table::lines(std::optional<std::size_t> width) const {
  const std::vector<std::size_t> widths = fitted_widths(width);
  std::vector<std::string> titles;
  titles.reserve(columns_.size());
  for (const Column& column : columns_) {
    titles.push_back(column.title);
  }
  std::vector<std::string> lines = {line(titles, widths)};
  for (const auto& row : rows_) {
    lines.push_back(line(row, widths));
  }
  return lines;
}

}  // namespace imgtool

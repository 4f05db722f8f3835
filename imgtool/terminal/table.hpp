// An aligned table for people, made to fit the terminal it is printed on.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace imgtool {

struct Column {
  enum class Cut : std::uint8_t { never, front, back };  // which end gives way to ".."

  std::string title;
  Cut cut = Cut::never;
  std::size_t least = 0;  // columns that it is not cut below
  int leaves = 0;         // where room is short the highest leaves first; 0 never does
  bool right_aligned = false;
};

class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  // One cell for each column, as they are: the table makes them harmless for a terminal.
  void add(const std::vector<std::string>& cells);

  // A heading, then one line for each row, without newlines. Columns without any text are left
  // out. `width`: of the terminal; without one nothing is cut. What can not be made to fit is
  // longer than the width.
  [[nodiscard]] std::vector<std::string> lines(std::optional<std::size_t> width) const;

 private:
  [[nodiscard]] std::vector<std::size_t> fitted_widths(std::optional<std::size_t> width) const;
  [[nodiscard]] std::string line(const std::vector<std::string>& cells,
                                 const std::vector<std::size_t>& widths) const;

  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace imgtool

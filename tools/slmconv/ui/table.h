// An aligned text table that fits a width: numbers right, text left, the widest text columns shortened with "…".
#pragma once

#include <string>
#include <vector>

namespace slm::cli {

struct TableCell {
  std::string text;
  bool number = false;
};
// Columns' widths of what was printed of a table so far: later rows keep them or are wider.
struct TableWidths {
  std::vector<size_t> columns;
  std::vector<bool> number;  // aligned right
};
// All rows have as many cells as the header. Returns lines ending in '\n'; columns counts code points.
std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                         int columns);
// Rows of a table that comes in pieces; the header is printed before the first, while `widths` is empty.
std::string format_rows(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                        int columns, TableWidths& widths);

}  // namespace slm::cli

// An aligned text table that fits a width: numbers right, text left, the widest text columns shortened with "…".
#pragma once

#include <string>
#include <vector>

namespace slm::cli {

struct TableCell {
  std::string text;
  bool number = false;
};
// All rows have as many cells as the header. Returns lines ending in '\n'; columns counts code points.
std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                         int columns);

}  // namespace slm::cli

#include "ui/table.h"

#include <algorithm>

namespace slm::cli {
namespace {

size_t width_of(const std::string& text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string fit(const std::string& text, size_t width, bool right) {
  const size_t have = width_of(text);
  if (have <= width) return right ? std::string(width - have, ' ') + text : text + std::string(width - have, ' ');
  std::string out;
  size_t n = 0;
  for (const char c : text) {
    if ((c & 0xC0) != 0x80 && ++n >= width) break;
    out += c;
  }
  return out + "…";
}

}  // namespace

std::string format_rows(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                        int columns, TableWidths& widths) {
  constexpr size_t kGap = 2, kLeast = 6;
  const size_t n = header.size();
  const bool is_first = widths.columns.empty();
  if (is_first) widths.number.assign(n, !rows.empty());
  std::vector<size_t> width = widths.columns;
  width.resize(n);
  std::vector<bool>& number = widths.number;
  for (size_t c = 0; c < n; ++c) {
    width[c] = std::max(width[c], width_of(header[c]));
    for (const auto& row : rows) {
      width[c] = std::max(width[c], width_of(row[c].text));
      if (is_first && !row[c].number && !row[c].text.empty()) number[c] = false;
    }
  }
  auto total = [&] {
    size_t sum = kGap * (n > 0 ? n - 1 : 0);
    for (const size_t w : width) sum += w;
    return sum;
  };
  while (total() > static_cast<size_t>(columns)) {
    size_t widest = n;
    for (size_t c = 0; c < n; ++c)
      if (!number[c] && width[c] > kLeast && (widest == n || width[c] > width[widest])) widest = c;
    if (widest == n) break;
    --width[widest];
  }
  std::string out;
  auto line = [&](auto&& cell_at) {
    std::string text;
    for (size_t c = 0; c < n; ++c)
      text += fit(cell_at(c), width[c], number[c]) + std::string(c + 1 < n ? kGap : 0, ' ');
    while (!text.empty() && text.back() == ' ') text.pop_back();
    out += text + '\n';
  };
  if (is_first) line([&](size_t c) -> const std::string& { return header[c]; });
  for (const auto& row : rows) line([&](size_t c) -> const std::string& { return row[c].text; });
  widths.columns = std::move(width);
  return out;
}

std::string format_table(const std::vector<std::string>& header, const std::vector<std::vector<TableCell>>& rows,
                         int columns) {
  TableWidths widths;
  return format_rows(header, rows, columns, widths);
}

}  // namespace slm::cli

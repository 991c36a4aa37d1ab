#include <fmt/format.h>

#include <cmath>
#include <ostream>

#include "ui/reporters.h"
#include "ui/table.h"

namespace slm::cli {
namespace {

TableCell cell_of(const json::value& value) {
  if (value.is_null()) return {"-", true};
  if (const auto* s = value.if_string()) return {std::string(*s), false};
  if (const auto* b = value.if_bool()) return {*b ? "yes" : "no", false};
  if (const auto* d = value.if_double()) {
    if (std::abs(*d) >= 1000) return {fmt::format("{:.0f}", *d), true};
    return {fmt::format("{:.3f}", *d), true};
  }
  return {json::serialize(value), value.is_number()};
}

class TextReporter final : public Reporter {
 public:
  TextReporter(std::ostream& out, std::ostream& err, const ReporterOptions& options)
      : out_(out), err_(err), o_(options) {}
  ~TextReporter() override { clear_bar(); }

  void start(std::string_view label, uint64_t total) override {
    label_ = label;
    total_ = total;
    done_ = 0;
    started_s_ = last_s_ = o_.clock->monotonic_s();
    if (!o_.quiet && !o_.terminal) err_ << label_ << " ...\n" << std::flush;
  }
  void advance(uint64_t done, std::string_view note) override {
    done_ = done;
    if (o_.quiet || label_.empty()) return;
    const double now_s = o_.clock->monotonic_s();
    if (now_s - last_s_ < (o_.terminal ? 0.1 : 10.0)) return;
    last_s_ = now_s;
    const std::string line = progress_line(note);
    if (o_.terminal) {
      err_ << "\r\033[K" << line << std::flush;
      bar_shown_ = true;
    } else {
      err_ << line << '\n' << std::flush;
    }
  }
  void finish() override {
    clear_bar();
    label_.clear();
  }
  void note(std::string_view line) override {
    if (o_.quiet) return;
    clear_bar();
    err_ << line << '\n' << std::flush;
  }
  void warn(std::string_view line) override {
    clear_bar();
    err_ << "warning: " << line << '\n' << std::flush;
  }

  void row(const json::object& fields) override {
    if (header_.empty())
      for (const auto& item : fields) header_.emplace_back(item.key());
    std::vector<TableCell> cells;
    for (const auto& item : fields) cells.push_back(cell_of(item.value()));
    cells.resize(header_.size());
    rows_.push_back(std::move(cells));
    if (rows_.size() == kMaxRowsHeld) print_rows();
  }
  void end_table() override {
    print_rows();
    header_.clear();
    widths_ = {};
  }
  void text(std::string_view text) override {
    clear_bar();
    out_ << text;
  }
  void summary(std::string_view command, const Summary& summary) override {
    end_table();
    for (const auto& line : summary.lines) out_ << line << '\n';
    if (summary.code != ErrorCode::kOk) error(command, {summary.code, summary.message, summary.hint});
    out_.flush();
  }
  void error(std::string_view command, const Error& error) override {
    clear_bar();
    out_.flush();
    err_ << "slmconv" << (command.empty() ? "" : " ") << command << ": " << error.message << '\n';
    if (!error.hint.empty()) err_ << "  try: " << error.hint << '\n';
    err_ << std::flush;
  }
  bool is_json() const override { return false; }

 private:
  // A longer table (a row a call) is printed in pieces, so that it needs no memory of its length.
  static constexpr size_t kMaxRowsHeld = 1000;

  void print_rows() {
    clear_bar();
    if (!rows_.empty()) out_ << format_rows(header_, rows_, o_.table_columns, widths_);
    rows_.clear();
  }
  std::string progress_line(std::string_view note) const {
    std::string line = label_;
    if (total_ > 0) {
      const double share = std::min(1.0, static_cast<double>(done_) / static_cast<double>(total_));
      if (o_.terminal) {
        const int cells = static_cast<int>(share * 20);
        line += fmt::format(" [{}{}]", std::string(static_cast<size_t>(cells), '#'),
                            std::string(static_cast<size_t>(20 - cells), '.'));
      }
      line += fmt::format(" {:3.0f} %", share * 100);
      const double spent_s = last_s_ - started_s_;
      if (share > 0.01 && share < 1) line += fmt::format(", {:.0f} s left", spent_s * (1 - share) / share);
    } else {
      line += fmt::format(" {}", done_);
    }
    if (!note.empty()) line += fmt::format(", {}", note);
    if (line.size() > static_cast<size_t>(o_.columns)) line.resize(static_cast<size_t>(o_.columns));
    return line;
  }
  void clear_bar() {
    if (bar_shown_) err_ << "\r\033[K" << std::flush;
    bar_shown_ = false;
  }

  std::ostream& out_;
  std::ostream& err_;
  ReporterOptions o_;
  std::string label_;
  uint64_t total_ = 0, done_ = 0;
  double started_s_ = 0, last_s_ = 0;
  bool bar_shown_ = false;
  std::vector<std::string> header_;
  std::vector<std::vector<TableCell>> rows_;
  TableWidths widths_;  // of the rows printed already
};

}  // namespace

std::unique_ptr<Reporter> text_reporter(std::ostream& out, std::ostream& err, const ReporterOptions& options) {
  return std::make_unique<TextReporter>(out, err, options);
}

}  // namespace slm::cli

// The two printers behind Reporter: text for people, JSON lines for programs.
#pragma once

#include <memory>

#include "command.h"

namespace slm::cli {

struct ReporterOptions {
  bool terminal = false;  // stderr is a terminal: a progress bar on one line; otherwise plain lines now and then
  bool quiet = false;     // no progress and notes
  int columns = 80, table_columns = 80;
  Clock* clock = nullptr;
};
std::unique_ptr<Reporter> text_reporter(std::ostream& out, std::ostream& err, const ReporterOptions& options);
std::unique_ptr<Reporter> json_reporter(std::ostream& out, const ReporterOptions& options);

}  // namespace slm::cli

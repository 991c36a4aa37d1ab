// `slmconv report`: table, Markdown, HTML and summary.json of a store; `report tasks|calls` for other programs.
#pragma once

#include "command.h"

namespace slm::cli {
void add_report(CLI::App& app, Context& context);
}

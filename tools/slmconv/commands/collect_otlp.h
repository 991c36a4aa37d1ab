// collect --otlp ADDR: the OTLP/HTTP receiver.
#pragma once

#include "collect/otlp_receiver.h"
#include "command.h"
#include "commands/collect_live.h"

namespace slm::cli {

// `listen`: HOST:PORT. Runs until SIGINT or SIGTERM, or until the store refuses.
Result<Summary> run_otlp(Context& context, const std::string& listen, collect::OtlpOptions options,
                         const LiveFlags& live);

}  // namespace slm::cli

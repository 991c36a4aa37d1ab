// collect --listen ADDR --upstream URL: the recording proxy.
#pragma once

#include "collect/proxy.h"
#include "command.h"

namespace slm::cli {

struct LiveFlags {
  std::string listen, admin, durability = "fast", on_store_failure = "open";
  std::vector<std::string> upstreams;
  collect::ProxyOptions proxy;
  int64_t spool_mb = 256, memory_mb = 256;
};
void add_live_flags(CLI::App& sub, LiveFlags& flags);
// Runs until SIGINT or SIGTERM.
Result<Summary> run_live(Context& context, LiveFlags flags);

}  // namespace slm::cli

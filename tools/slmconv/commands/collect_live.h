// collect --listen ADDR --upstream URL: the recording proxy.
#pragma once

#include "collect/proxy.h"
#include "command.h"
#include "commands/anchoring.h"
#include "store/store.h"

namespace slm::cli {

struct LiveFlags {
  std::string listen, admin, durability = "fast", on_store_failure = "open";
  std::vector<std::string> upstreams;
  collect::ProxyOptions proxy;
  int64_t spool_mb = 256, memory_mb = 256;
  AnchorTarget anchor;
  double anchor_every_s = 60;
};
void add_live_flags(CLI::App& sub, LiveFlags& flags);
// What a spool is sealed to: --identity, else the store's default folder.
std::filesystem::path collector_key_file(const Context& context, const store::Store& store);
// Runs until SIGINT or SIGTERM.
Result<Summary> run_live(Context& context, LiveFlags flags);

}  // namespace slm::cli

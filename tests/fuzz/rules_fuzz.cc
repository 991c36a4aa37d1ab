// libFuzzer target: a rules file of arbitrary bytes, and a search with the rules it makes.
#include <cstdint>
#include <string_view>

#include "scrub/rules.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto rules = slm::scrub::parse_rules({reinterpret_cast<const char*>(data), size}, "rules.toml");
  if (!rules) return 0;
  rules->to_json();
  const auto detector =
      slm::scrub::Detector::create(rules->user, std::vector<bool>(slm::scrub::kNumBuiltinTypes, true));
  if (detector) detector->find("Call CN-123456, my name is Orla Wick, mail orla@brook.example.com");
  return 0;
}

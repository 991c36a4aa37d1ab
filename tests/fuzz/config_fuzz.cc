// libFuzzer target: a config.json of arbitrary bytes. What is accepted has sizes that can be computed with.
#include <cstdint>
#include <string_view>

#include "nn/engine.h"
#include "schema/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto value = slm::parse_json({reinterpret_cast<const char*>(data), size});
  if (!value) return 0;
  const auto config = slm::nn::parse_config(*value);
  if (config && (config->n_heads <= 0 || config->n_kv_heads <= 0 || config->n_heads % config->n_kv_heads != 0 ||
                 config->n_layers <= 0 || config->vocab_size <= 0))
    __builtin_trap();
  return 0;
}

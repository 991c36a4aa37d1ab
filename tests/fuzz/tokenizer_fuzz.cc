// libFuzzer target: a tokenizer.json of arbitrary bytes, used on a few texts.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/utf8.h"
#include "text/tokenizer_kinds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto tokenizer = slm::text::parse_tokenizer_json(std::string_view(reinterpret_cast<const char*>(data), size));
  if (!tokenizer) return 0;
  for (const std::string_view text : {"The order 1042 was  sent.\n<|im_end|> x", "e\xcc\x81\xff \xe6\x9d\xb1\t\r"}) {
    for (const bool follows : {false, true}) {
      auto ids = follows ? (*tokenizer)->encode_rest(text) : (*tokenizer)->encode(text);
      ids.push_back(-1);
      ids.push_back((*tokenizer)->n_ids());
      if (!slm::is_utf8(follows ? (*tokenizer)->decode_rest(ids) : (*tokenizer)->decode(ids, true))) std::abort();
    }
  }
  return 0;
}

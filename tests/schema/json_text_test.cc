#include "schema/json_text.h"

#include <gtest/gtest.h>

#include "core/random.h"

namespace slm {
namespace {

TEST(JsonText, EveryByteAtEveryPlaceIsWrittenAsBoostWritesIt) {
  for (int byte = 0; byte < 256; ++byte)
    for (size_t at = 0; at < 20; ++at) {
      std::string text(20, 'a');
      text[at] = static_cast<char>(byte);
      std::string out;
      append_json_text(out, text);
      ASSERT_EQ(out, json::serialize(json::string_view(text))) << byte << " at " << at;
    }
}

TEST(JsonText, RandomValuesAreWrittenAsBoostWritesThem) {
  Prng prng(5);
  const auto text = [&] {
    std::string out(prng.below(40), ' ');
    for (char& c : out) c = static_cast<char>(prng.below(4) == 0 ? prng.below(256) : 'a' + prng.below(26));
    return out;
  };
  const std::function<json::value(int)> make = [&](int depth) -> json::value {
    switch (prng.below(depth > 3 ? 6 : 8)) {
      case 0:
        return nullptr;
      case 1:
        return prng.below(2) == 0;
      case 2:
        return static_cast<int64_t>(prng.next());
      case 3:
        return prng.next();
      case 4:
        return static_cast<double>(prng.below(1u << 30)) / 1e5;
      case 5:
        return json::value(text());
      case 6: {
        json::array out;
        for (size_t n = prng.below(5); n > 0; --n) out.push_back(make(depth + 1));
        return out;
      }
      default: {
        json::object out;
        for (size_t n = prng.below(5); n > 0; --n) out.emplace(text(), make(depth + 1));
        return out;
      }
    }
  };
  for (int i = 0; i < 2000; ++i) {
    const json::value value = make(0);
    std::string out = "before";
    append_json(out, value);
    ASSERT_EQ(out, "before" + json::serialize(value));
  }
}

}  // namespace
}  // namespace slm

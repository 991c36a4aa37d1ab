// Deterministic random mutation of good records: whatever comes in, no dialect crashes, and what comes out fits the
// schema.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/file.h"
#include "core/random.h"
#include "dialect_log.h"

namespace slm::dialects {
namespace {

std::vector<std::string> good_records() {
  auto records = lines_of("tests/data/call/openai_chat.jsonl");
  for (const auto* name : {"messages", "otlp", "litellm", "langfuse", "sharegpt", "openai_stored", "anthropic",
                           "openai_responses", "transcript"})
    for (auto& line : lines_of(fmt::format("tests/data/call/{}.jsonl", name))) records.push_back(std::move(line));
  const auto text = read_file(std::string(SLM_SOURCE_DIR) + "/tests/data/call/tau_bench.json");
  const json::value log = json_of(text.value_or("[]"));
  for (const auto& record : log.as_array()) records.push_back(json::serialize(record));
  return records;
}

// All values inside a document, so that one can be put in the place of another.
void collect(json::value& value, std::vector<json::value*>& out) {
  out.push_back(&value);
  if (auto* array = value.if_array())
    for (auto& item : *array) collect(item, out);
  if (auto* object = value.if_object())
    for (auto& item : *object) collect(item.value(), out);
}

json::value odd_value(Prng& prng) {
  switch (prng.below(9)) {
    case 0:
      return nullptr;
    case 1:
      return -1;
    case 2:
      return 1e300;
    case 3:
      return true;
    case 4:
      return "";
    case 5:
      return json::array();
    case 6:
      return json::object();
    case 7:
      return UINT64_MAX;
    default:
      return json::array{json::array{nullptr, 3, "x"}};
  }
}

void check_schema(const Call& call) {
  static int n = 0;
  if (n++ % 10 != 0) return;  // compiling the schema is what takes time
  const json::value document{{"meta", to_json(call.meta)}, {"body", to_json(call.body)}};
  const auto status = validate_json(document, "schemas/call/call.schema.json");
  EXPECT_TRUE(status.has_value()) << status.error().message;
}

void check_all(const json::value& record) {
  for (const auto& dialect : all()) {
    json::value copy = record;
    Kept kept;
    const auto reason = dialect.parse(copy, kept);
    if (!reason.empty()) {
      EXPECT_TRUE(kept.calls.empty()) << reason;
    }
    for (const auto& logged : kept.calls) {
      json::object meta = to_json(logged.call.meta), body = to_json(logged.call.body);
      EXPECT_TRUE(call_meta_from_json(json::value(meta)).has_value());
      EXPECT_TRUE(call_body_from_json(json::value(body)).has_value());
      check_schema(logged.call);
      template_signature(logged.call.body.messages);
      tool_signature(logged.call.body.tools);
      last_input_delta(logged.call.body.messages);
      canonical_text(logged.call.body);
      if (const auto* answer = answer_of(logged.call.body)) first_tool(*answer);
    }
  }
  recognise(record);
}

TEST(Robustness, ValuesOfOtherTypes) {
  Prng prng(20260302);
  const auto records = good_records();
  for (int round = 0; round < 4000; ++round) {
    json::value record = json_of(records[prng.below(records.size())]);
    for (uint64_t n = 1 + prng.below(3); n > 0; --n) {
      std::vector<json::value*> places;
      collect(record, places);
      json::value& place = *places[prng.below(places.size())];
      if (prng.below(2) == 0) {
        place = odd_value(prng);
      } else {
        json::value other = *places[prng.below(places.size())];
        place = std::move(other);
      }
    }
    check_all(record);
  }
}

TEST(Robustness, MissingKeys) {
  Prng prng(7);
  const auto records = good_records();
  for (int round = 0; round < 2000; ++round) {
    json::value record = json_of(records[prng.below(records.size())]);
    std::vector<json::value*> places;
    collect(record, places);
    auto& place = *places[prng.below(places.size())];
    if (auto* object = place.if_object(); object != nullptr && !object->empty())
      object->erase(object->begin() + static_cast<ptrdiff_t>(prng.below(object->size())));
    if (auto* array = place.if_array(); array != nullptr && !array->empty())
      array->erase(array->begin() + static_cast<ptrdiff_t>(prng.below(array->size())));
    check_all(record);
  }
}

TEST(Robustness, DamagedBytes) {
  Prng prng(99);
  const auto records = good_records();
  int n_parsed = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text = records[prng.below(records.size())];
    for (uint64_t n = 1 + prng.below(4); n > 0; --n) {
      const size_t at = prng.below(text.size());
      switch (prng.below(3)) {
        case 0:
          text[at] = static_cast<char>(prng.below(256));
          break;
        case 1:
          text.erase(at, 1 + prng.below(8));
          break;
        default:
          text.insert(at, 1, "{}[]\",:\\u0"[prng.below(10)]);
          break;
      }
      if (text.empty()) text = "0";
    }
    auto record = parse_json(text);
    if (!record) continue;
    ++n_parsed;
    check_all(*record);
  }
  EXPECT_GT(n_parsed, 1000);
}

}  // namespace
}  // namespace slm::dialects

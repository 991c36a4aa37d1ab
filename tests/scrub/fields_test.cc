#include "scrub/fields.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace slm::scrub {
namespace {

TEST(Fields, VisitsEveryTextAndNothingElse) {
  CallBody body;
  body.messages = {
      {{"role", "system"}, {"content", "T1"}},
      {{"role", "user"},
       {"name", "T2"},
       {"content",
        {{{"type", "text"}, {"text", "T3"}},
         {{"type", "image_url"}, {"image_url", {{"url", "https://T4"}, {"detail", "low"}}}},
         {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,NO"}}}},
         {{"type", "input_audio"}, {"input_audio", {{"data", "NO"}, {"format", "wav"}}}}}}},
      {{"role", "assistant"},
       {"content", nullptr},
       {"reasoning_content", "T5"},
       {"tool_calls", {{{"id", "NO"}, {"type", "function"}, {"function", {{"name", "NO"}, {"arguments", "T6"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "NO"}, {"name", "NO"}, {"content", "T7"}}};
  body.tools = {
      {{"type", "function"},
       {"function",
        {{"name", "NO"},
         {"description", "T8"},
         {"parameters",
          {{"type", "object"},
           {"properties", {{"mail", {{"type", "string"}, {"description", "T9"}, {"default", "TA"}, {"enum", {"TB"}}}}}},
           {"required", {"NO"}}}}}}}};
  body.choices = {{{"index", 0}, {"finish_reason", "stop"}, {"message", {{"role", "assistant"}, {"content", "TC"}}}},
                  {{"message", {{"role", "assistant"}, {"content", "TD"}, {"refusal", "TE"}}}}};
  body.params = {{"stop", {"TF"}},
                 {"temperature", 0},
                 {"response_format",
                  {{"type", "json_schema"},
                   {"json_schema", {{"name", "NO"}, {"schema", {{"type", "object"}, {"description", "TG"}}}}}}}};
  body.extra = {{"note", "TH"}};
  body.truth = {{"role", "assistant"},
                {"content", "TI"},
                {"tool_calls", {{{"function", {{"name", "NO"}, {"arguments", "TJ"}}}}}}};
  body.error = {{"type", "NO"}, {"message", "TK"}};
  std::vector<std::string> seen;
  ASSERT_TRUE(visit_fields(body, [&](const Field&, std::string_view text) -> Result<std::optional<std::string>> {
    seen.emplace_back(text);
    return "was " + std::string(text);
  }));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<std::string>{"T1", "T2", "T3", "T5", "T6", "T7", "T8", "T9", "TA", "TB",
                                            "TC", "TD", "TE", "TF", "TG", "TH", "TI", "TJ", "TK", "https://T4"}));
  EXPECT_EQ(body.messages[2].at("tool_calls").at(0).at("function").at("arguments"), "was T6");
  EXPECT_EQ(body.error.at("message"), "was TK");
}

TEST(Fields, AnErrorStopsTheWalk) {
  CallBody body;
  body.messages = {{{"role", "user"}, {"content", "a"}}, {{"role", "user"}, {"content", "b"}}};
  int n = 0;
  const auto status = visit_fields(body, [&](const Field&, std::string_view) -> Result<std::optional<std::string>> {
    ++n;
    return fail(ErrorCode::kWrongKey, "no");
  });
  EXPECT_FALSE(status);
  EXPECT_EQ(n, 1);
}

}  // namespace
}  // namespace slm::scrub

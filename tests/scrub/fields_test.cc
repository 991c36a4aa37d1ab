#include "scrub/fields.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace slm::scrub {
namespace {

constexpr const char* kEncoded = "UklGRiQAAABXQVZFZm10IBAAAAAB";
using Texts = std::vector<std::string>;

// What is visited of a kind, sorted.
Texts visited(CallBody body, FieldKind kind = FieldKind::kText) {
  Texts seen;
  EXPECT_TRUE(visit_fields(body, [&](const Field& field, std::string_view text) -> Result<std::optional<std::string>> {
    if (field.kind == kind) seen.emplace_back(text);
    return std::nullopt;
  }));
  std::sort(seen.begin(), seen.end());
  return seen;
}
CallBody with_part(json::value part) {
  CallBody body;
  body.messages = {{{"role", "user"}, {"content", json::array{std::move(part)}}}};
  return body;
}

TEST(Fields, VisitsEveryTextAndNothingElse) {
  CallBody body;
  body.messages = {
      {{"role", "system"}, {"content", "T1"}},
      {{"role", "user"},
       {"name", "T2"},
       {"content",
        {{{"type", "text"}, {"text", "T3"}},
         {{"type", "image_url"}, {"image_url", {{"url", "https://T4"}, {"detail", "low"}}}},
         {{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAA"}}}},
         {{"type", "input_audio"}, {"input_audio", {{"data", kEncoded}, {"format", "wav"}}}}}}},
      {{"role", "assistant"},
       {"content", nullptr},
       {"reasoning_content", "T5"},
       {"tool_calls", {{{"id", "NO"}, {"type", "function"}, {"function", {{"name", "NO"}, {"arguments", "T6"}}}}}}},
      {{"role", "tool"}, {"tool_call_id", "NO"}, {"name", "NO"}, {"content", "T7"}}};
  body.tools = {{{"type", "function"},
                 {"function",
                  {{"name", "NO"},
                   {"description", "T8"},
                   {"parameters",
                    {{"type", "object"},
                     {"properties",
                      {{"mail", {{"type", "string"}, {"description", "T9"}, {"default", "TA"}, {"enum", {"TB"}}}},
                       // Parameters that are called like what exemplifies one.
                       {"default", {{"type", "NO"}, {"description", "TL"}}},
                       {"example", {{"type", "NO"}, {"const", {{"who", "TM"}}}}}}},
                     {"example", {{"mail", "TN"}, {"to", {{{"name", "TO"}}}}}},
                     {"default", {{"mail", "TP"}}},
                     {"$defs", {{"const", {{"title", "TQ"}, {"examples", {{{"mail", "TR"}}}}}}}},
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
  Texts seen;
  ASSERT_TRUE(visit_fields(body, [&](const Field& field, std::string_view text) -> Result<std::optional<std::string>> {
    if (field.kind == FieldKind::kKey) return std::nullopt;
    seen.emplace_back(text);
    return "was " + std::string(text);
  }));
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (Texts{"T1", "T2", "T3", "T5", "T6", "T7", "T8", "T9", "TA", "TB", "TC", "TD", "TE",        "TF",
                         "TG", "TH", "TI", "TJ", "TK", "TL", "TM", "TN", "TO", "TP", "TQ", "TR", "https://T4"}));
  EXPECT_EQ(body.messages[2].at("tool_calls").at(0).at("function").at("arguments"), "was T6");
  EXPECT_EQ(body.error.at("message"), "was TK");
}

TEST(Fields, TextThatBeginsLikeADataUrlIsText) {
  CallBody body;
  body.messages = {{{"role", "user"}, {"content", "data: my name is Orla Wick"}},
                   {{"role", "tool"}, {"tool_call_id", "c"}, {"content", "data:image/png;base64,orla@acme.com"}}};
  body.choices = {{{"message", {{"role", "assistant"}, {"content", "data:text/plain,Orla"}}}}};
  EXPECT_EQ(visited(body),
            (Texts{"data: my name is Orla Wick", "data:image/png;base64,orla@acme.com", "data:text/plain,Orla"}));
  // Under `url` too, if it is none.
  for (const char* text : {"data: my name, is Orla", "data:", "data:orla@acme.com"})
    EXPECT_EQ(visited(with_part({{"type", "image_url"}, {"image_url", {{"url", text}}}})), Texts{text});
}

TEST(Fields, EncodedFilesAreToldAndMediaIsLeft) {
  const std::string payload = kEncoded;
  const auto none = [](const CallBody& body) {
    EXPECT_EQ(visited(body), Texts{}) << json::serialize(to_json(body));
    EXPECT_EQ(visited(body, FieldKind::kFile), Texts{}) << json::serialize(to_json(body));
  };
  none(with_part({{"type", "image_url"}, {"image_url", {{"url", "data:image/png;base64," + payload}}}}));
  none(with_part({{"type", "input_image"}, {"image_url", "data:image/png;base64," + payload}}));
  none(with_part({{"type", "input_audio"}, {"input_audio", {{"data", payload}, {"format", "wav"}}}}));
  none(
      with_part({{"type", "image"}, {"source", {{"type", "base64"}, {"media_type", "image/png"}, {"data", payload}}}}));
  CallBody spoken;
  spoken.choices = {{{"message", {{"role", "assistant"}, {"audio", {{"data", payload}, {"transcript", ""}}}}}}};
  none(spoken);

  const auto file = [&](json::value part, const std::string& text) {
    const CallBody body = with_part(std::move(part));
    EXPECT_EQ(visited(body), Texts{}) << text;
    EXPECT_EQ(visited(body, FieldKind::kFile), Texts{text});
  };
  for (const std::string head :
       {"data:text/plain;base64,", "data:application/json;base64,", "data:image/svg+xml;base64,",
        "data:application/pdf;base64,", "data:image/png;name=Orla;base64,", "data:text/plain,", "data:;base64,"}) {
    file({{"type", "image_url"}, {"image_url", {{"url", head + payload}}}}, head + payload);
    file({{"type", "file"}, {"file", {{"file_data", head + payload}}}}, head + payload);
  }
  file({{"type", "file"}, {"file", {{"file_data", payload}}}}, payload);
  file({{"type", "document"}, {"source", {{"media_type", "text/plain"}, {"data", payload}}}}, payload);

  // Not encoded at all, and no sign that it would be.
  EXPECT_EQ(
      visited(with_part({{"type", "document"}, {"source", {{"media_type", "image/png"}, {"data", "Orla Wick"}}}})),
      Texts{"Orla Wick"});
  EXPECT_EQ(visited(with_part({{"type", "x"}, {"data", payload}})), Texts{payload});
}

TEST(Fields, KeysAreVisitedAndRenamedInPlace) {
  CallBody body = with_part({{"type", "json"}, {"json", {{"a", 1}, {"orla@acme.com", {{"b", 2}}}, {"c", 3}}}});
  body.extra = {{"seen", {{"x", 1}, {"y", 2}}}};
  EXPECT_EQ(visited(body, FieldKind::kKey), (Texts{"a", "b", "c", "json", "orla@acme.com", "x", "y"}));
  const std::map<std::string, std::string, std::less<>> fresh = {{"orla@acme.com", "q@r.example"}, {"x", "y"}};
  ASSERT_TRUE(visit_fields(body, [&](const Field& field, std::string_view text) -> Result<std::optional<std::string>> {
    const auto it = fresh.find(text);
    if (field.kind != FieldKind::kKey || it == fresh.end()) return std::nullopt;
    return it->second;
  }));
  EXPECT_EQ(json::serialize(body.messages[0].at("content").at(0).at("json")), R"({"a":1,"q@r.example":{"b":2},"c":3})");
  EXPECT_EQ(json::serialize(body.extra), R"({"seen":{"y":1,"y_":2}})") << "neither value is lost";
}

TEST(Fields, PropertiesOfToolsAndFormats) {
  CallBody body;
  body.tools = {{{"function",
                  {{"name", "find"},
                   {"parameters",
                    {{"properties",
                      {{"mail", {{"type", "string"}}},
                       {"to", {{"items", {{"properties", {{"zip", {{"type", "string"}}}}}}}}}}}}}}}}};
  body.params = {{"response_format", {{"json_schema", {{"schema", {{"properties", {{"grace", true}}}}}}}}}};
  for (const char* name : {"mail", "to", "zip", "grace"}) EXPECT_TRUE(is_property(body, name)) << name;
  for (const char* name : {"name", "find", "properties", "parameters", "type", "items", "string", ""})
    EXPECT_FALSE(is_property(body, name)) << name;
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

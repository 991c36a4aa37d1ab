// Calls out of what passed: streams and whole answers of each API, codings, cuts. The streams are written by hand after
// the providers' published event types.
#include "call/recording.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "http/coding.h"

namespace slm {
namespace {

Exchange exchange(Api api, std::string request, std::string response, bool streamed = false) {
  Exchange x;
  x.api = api;
  x.request = std::move(request);
  x.response = std::move(response);
  x.event_stream = streamed;
  x.status = 200;
  x.time_ms = 1772438400000;
  x.latency_ms = 250;
  return x;
}
std::string data(std::string_view text) { return "data: " + std::string(text) + "\n\n"; }
std::string event(std::string_view name, std::string_view text) {
  return "event: " + std::string(name) + "\n" + data(text);
}
json::object answer(const Call& call, size_t i = 0) { return call.body.choices.at(i).at("message").as_object(); }
// That what is stored can be read again.
Call recorded(Exchange x) {
  Call call = record_call(std::move(x)).call;
  EXPECT_TRUE(call_meta_from_json(to_json(call.meta)).has_value());
  EXPECT_TRUE(call_body_from_json(to_json(call.body)).has_value());
  return call;
}

const std::string kAsk =
    R"({"model":"m","stream":true,"temperature":0.5,"user":"u-1","messages":[{"role":"user","content":"q"}]})";

TEST(Recording, FindsTheApiByTheEndOfThePath) {
  EXPECT_EQ(api_of("POST", "/v1/chat/completions"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/openai/deployments/x/chat/completions?api-version=1"), Api::kChat);
  EXPECT_EQ(api_of("POST", "/v1/responses"), Api::kResponses);
  EXPECT_EQ(api_of("POST", "/v1/embeddings"), Api::kEmbeddings);
  EXPECT_EQ(api_of("POST", "/v1/messages"), Api::kMessages);
  EXPECT_EQ(api_of("POST", "/v1/threads/t_1/messages"), Api::kNone);
  EXPECT_EQ(api_of("POST", "/v1/messages/count_tokens"), Api::kNone);
  EXPECT_EQ(api_of("GET", "/v1/chat/completions"), Api::kNone);
  EXPECT_EQ(api_of("POST", "/v1/audio/speech"), Api::kNone);
}

TEST(Recording, ChatStreamWithTwoChoicesToolsByIndexAndUsage) {
  const std::string first = data(
      R"({"id":"c","created":1772438400,"model":"m-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]})");
  const std::string second = data(R"({"choices":[{"index":0,"delta":{"content":"Hel"}}]})");
  std::string text = first + second + ": keep-alive\n\n";
  text += data(
      R"({"choices":[{"index":1,"delta":{"tool_calls":[{"index":1,"id":"t2","type":"function","function":{"name":"g","arguments":""}}]}}]})");
  text += data(
      R"({"choices":[{"index":1,"delta":{"tool_calls":[{"index":0,"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a"}}]}}]})");
  text += data(
      R"({"choices":[{"index":1,"delta":{"tool_calls":[{"index":1,"function":{"arguments":"{}"}},{"index":0,"function":{"arguments":"\":1}"}}]}}]})");
  text += data(
      R"({"choices":[{"index":0,"delta":{"content":"lo"},"finish_reason":"stop"},{"index":1,"delta":{},"finish_reason":"tool_calls"}]})");
  text += data(
      R"({"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":2}}})");
  text += data("[DONE]");
  Exchange x = exchange(Api::kChat, kAsk, text, true);
  x.marks = {{first.size(), 10}, {first.size() + second.size(), 20}, {text.size(), 30}};
  const Call call = recorded(x);
  ASSERT_EQ(call.body.choices.size(), 2u);
  EXPECT_EQ(answer(call).at("content"), "Hello");
  EXPECT_EQ(answer(call, 1).at("tool_calls").at(0).at("function").at("name"), "f");
  EXPECT_EQ(answer(call, 1).at("tool_calls").at(0).at("function").at("arguments"), R"({"a":1})");
  EXPECT_EQ(answer(call, 1).at("tool_calls").at(1).at("id"), "t2");
  EXPECT_EQ(call.meta.usage.n_in, 7);
  EXPECT_EQ(call.meta.usage.n_out, 3);
  EXPECT_EQ(call.meta.usage.n_cached, 2);
  EXPECT_EQ(call.meta.finish_reason, "stop");
  EXPECT_EQ(call.meta.model, "m-1");
  EXPECT_EQ(call.meta.source, "u-1");
  EXPECT_EQ(call.meta.latency_ms, 250);
  EXPECT_EQ(call.meta.ttft_ms, 20) << "an empty first delta is no token";
  EXPECT_TRUE(call.meta.flags.streamed);
  EXPECT_FALSE(call.meta.flags.partial);
  EXPECT_FALSE(call.meta.flags.failed);
}

TEST(Recording, AStreamThatBreaksOffIsPartial) {
  Exchange x =
      exchange(Api::kChat, kAsk, data(R"({"choices":[{"index":0,"delta":{"content":"Hel"}}]})") + "data: {\"cho", true);
  x.broken = true;
  const Call call = recorded(x);
  EXPECT_EQ(answer(call).at("content"), "Hel");
  EXPECT_TRUE(call.meta.flags.partial);
  EXPECT_TRUE(call.meta.flags.failed);
  // Ended in good order, but without its end: no less partial.
  x.broken = false;
  EXPECT_TRUE(recorded(x).meta.flags.partial);
  x.response = "";
  x.status = 0;
  x.broken = true;
  const Call none = recorded(x);
  EXPECT_TRUE(none.body.choices.empty());
  EXPECT_TRUE(none.meta.flags.failed);
}

TEST(Recording, AnErrorAnswerIsAFailedCall) {
  Exchange x = exchange(Api::kChat, kAsk,
                        R"({"error":{"message":"key sk-secret is bad","type":"invalid_request_error","code":"x"}})");
  x.status = 401;
  const Call call = recorded(x);
  EXPECT_TRUE(call.meta.flags.failed);
  EXPECT_EQ(call.body.error.at("type"), "invalid_request_error");
  EXPECT_EQ(json::serialize(to_json(call.body)).find("sk-secret"), std::string::npos);
  x.response = "<html>bad gateway</html>";
  x.status = 502;
  EXPECT_EQ(recorded(x).body.error.at("status_code"), 502);
}

TEST(Recording, ResponsesStreamedAndWhole) {
  const std::string ask = R"({"model":"m","instructions":"be brief","previous_response_id":"r0","stream":true,"input":[
    {"role":"user","content":[{"type":"input_text","text":"q"}]},
    {"type":"function_call","call_id":"t1","name":"f","arguments":"{}"},
    {"type":"function_call_output","call_id":"t1","output":"42"}],
    "tools":[{"type":"function","name":"f","parameters":{"type":"object"}}],
    "text":{"format":{"type":"json_schema","name":"n","schema":{"type":"object"}}},"max_output_tokens":9})";
  const std::string whole = R"({"id":"r1","object":"response","status":"completed","model":"m-2","output":[
    {"type":"reasoning","summary":[{"type":"summary_text","text":"hm"}]},
    {"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello"}]},
    {"type":"function_call","call_id":"t2","name":"f","arguments":"{\"a\":1}"}],
    "usage":{"input_tokens":5,"output_tokens":2,"input_tokens_details":{"cached_tokens":1}}})";
  std::string flat;  // an event's data is one line
  for (const char c : whole)
    if (c != '\n') flat += c;
  const std::string stream =
      event("response.created", R"({"type":"response.created","response":{"id":"r1","model":"m-2"}})") +
      event("response.output_text.delta", R"({"type":"response.output_text.delta","output_index":0,"delta":"Hel"})") +
      event("response.completed", R"({"type":"response.completed","response":)" + flat + "}");
  for (const bool streamed : {true, false}) {
    const Call call = recorded(exchange(Api::kResponses, ask, streamed ? stream : whole, streamed));
    ASSERT_EQ(call.body.messages.size(), 4u);
    EXPECT_EQ(call.body.messages[0].at("role"), "system");
    EXPECT_EQ(call.body.messages[1].at("content"), "q");
    EXPECT_EQ(call.body.messages[2].at("tool_calls").at(0).at("id"), "t1");
    EXPECT_EQ(call.body.messages[3].at("role"), "tool");
    EXPECT_EQ(call.body.tools.at(0).at("function").at("name"), "f");
    EXPECT_EQ(call.body.params.at("response_format").at("json_schema").at("name"), "n");
    EXPECT_EQ(call.body.params.at("max_completion_tokens"), 9);
    EXPECT_EQ(answer(call).at("content"), "Hello");
    EXPECT_EQ(answer(call).at("reasoning_content"), "hm");
    EXPECT_EQ(answer(call).at("tool_calls").at(0).at("function").at("arguments"), R"({"a":1})");
    EXPECT_EQ(call.meta.finish_reason, "tool_calls");
    EXPECT_EQ(call.meta.usage.n_in, 5);
    EXPECT_EQ(call.meta.usage.n_cached, 1);
    EXPECT_EQ(call.meta.model, "m-2");
    EXPECT_TRUE(call.meta.flags.needs_parent);
    EXPECT_FALSE(call.meta.flags.partial);
  }
  // Without its last event the deltas are what is known.
  Exchange cut = exchange(Api::kResponses, ask, stream.substr(0, stream.find("event: response.completed")), true);
  cut.broken = true;
  const Call partial = recorded(cut);
  EXPECT_EQ(answer(partial).at("content"), "Hel");
  EXPECT_TRUE(partial.meta.flags.partial);
}

TEST(Recording, MessagesStreamedAndWhole) {
  const std::string ask =
      R"({"model":"c","max_tokens":5,"system":[{"type":"text","text":"be brief"}],"metadata":{"user_id":"u-9"},
    "tool_choice":{"type":"any"},"tools":[{"name":"f","description":"d","input_schema":{"type":"object"}}],"messages":[
    {"role":"user","content":"q"},
    {"role":"assistant","content":[{"type":"text","text":"let me"},{"type":"tool_use","id":"t1","name":"f","input":{"a":1}}]},
    {"role":"user","content":[{"type":"tool_result","tool_use_id":"t1","content":[{"type":"text","text":"42"}]},{"type":"text","text":"and?"}]}]})";
  const std::string whole =
      R"({"id":"m1","type":"message","role":"assistant","model":"c-1","stop_reason":"tool_use","content":[
    {"type":"thinking","thinking":"hm","signature":"s"},{"type":"text","text":"Hello"},
    {"type":"tool_use","id":"t2","name":"f","input":{"a":2}}],
    "usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":1,"output_tokens":2}})";
  const std::string stream =
      event(
          "message_start",
          R"({"type":"message_start","message":{"id":"m1","type":"message","role":"assistant","model":"c-1","content":[],"stop_reason":null,"usage":{"input_tokens":5,"cache_read_input_tokens":3,"cache_creation_input_tokens":1,"output_tokens":1}}})") +
      event("content_block_start",
            R"({"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}})") +
      event("content_block_delta",
            R"({"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"hm"}})") +
      event("ping", R"({"type":"ping"})") +
      event("content_block_start",
            R"({"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}})") +
      event("content_block_delta",
            R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hel"}})") +
      event("content_block_delta",
            R"({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"lo"}})") +
      event(
          "content_block_start",
          R"({"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"t2","name":"f","input":{}}})") +
      event(
          "content_block_delta",
          R"({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}})") +
      event("content_block_delta",
            R"({"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"2}"}})") +
      event("message_delta",
            R"({"type":"message_delta","delta":{"stop_reason":"tool_use"},"usage":{"output_tokens":2}})") +
      event("message_stop", R"({"type":"message_stop"})");
  for (const bool streamed : {true, false}) {
    const Call call = recorded(exchange(Api::kMessages, ask, streamed ? stream : whole, streamed));
    ASSERT_EQ(call.body.messages.size(), 5u);
    EXPECT_EQ(call.body.messages[0].at("content"), "be brief");
    EXPECT_EQ(call.body.messages[2].at("tool_calls").at(0).at("function").at("arguments"), R"({"a":1})");
    EXPECT_EQ(call.body.messages[3].at("tool_call_id"), "t1");
    EXPECT_EQ(call.body.messages[3].at("content"), "42");
    EXPECT_EQ(call.body.messages[4].at("content"), "and?");
    EXPECT_EQ(call.body.params.at("tool_choice"), "required");
    EXPECT_EQ(answer(call).at("content"), "Hello");
    EXPECT_EQ(answer(call).at("reasoning_content"), "hm");
    EXPECT_EQ(answer(call).at("tool_calls").at(0).at("function").at("arguments"), R"({"a":2})");
    EXPECT_EQ(call.meta.finish_reason, "tool_calls");
    EXPECT_EQ(call.meta.usage.n_in, 9);
    EXPECT_EQ(call.meta.usage.n_cached, 3);
    EXPECT_EQ(call.meta.usage.n_out, 2);
    EXPECT_EQ(call.meta.source, "u-9");
  }
}

TEST(Recording, EmbeddingsKeepTheInputOnly) {
  const Call call = recorded(exchange(
      Api::kEmbeddings, R"({"model":"e","input":["a","b"],"dimensions":3})",
      R"({"model":"e-1","data":[{"embedding":[0.125,0.25,0.5]}],"usage":{"prompt_tokens":2,"total_tokens":2}})"));
  EXPECT_EQ(call.meta.operation, "embeddings");
  ASSERT_EQ(call.body.messages.size(), 2u);
  EXPECT_EQ(call.body.messages[1].at("content"), "b");
  EXPECT_TRUE(call.body.choices.empty());
  EXPECT_FALSE(call.meta.flags.failed);
  EXPECT_EQ(call.meta.usage.n_in, 2);
  EXPECT_EQ(json::serialize(to_json(call.body)).find("0.125"), std::string::npos);
}

TEST(Recording, CodingsAreUndoneAndWhatCantBeIsKeptAsItCame) {
  const std::string whole =
      R"({"choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}]})";
  Exchange x = exchange(Api::kChat, kAsk, http::gzip(whole).value());
  x.response_coding = "gzip";
  EXPECT_EQ(answer(recorded(x)).at("content"), "hi");
  x.request = http::gzip(kAsk).value();
  x.request_coding = "gzip";
  EXPECT_EQ(answer(recorded(x)).at("content"), "hi");
  x.response_coding = "dcb";
  x.response = std::string("\xff\x00\x01", 3);
  const Call odd = recorded(x);
  EXPECT_TRUE(odd.meta.flags.undecoded);
  EXPECT_EQ(odd.body.extra.at("raw_response"), "/wAB");
  EXPECT_EQ(odd.body.extra.at("response_coding"), "dcb");
  EXPECT_TRUE(recorded(exchange(Api::kChat, "no json", whole)).meta.flags.undecoded);
}

TEST(Recording, WhatWasCutIsTruncated) {
  Exchange x = exchange(Api::kChat, kAsk, data(R"({"choices":[{"index":0,"delta":{"content":"Hel"}}]})"), true);
  x.response_cut = true;
  const Call call = recorded(x);
  EXPECT_TRUE(call.meta.flags.truncated);
  EXPECT_EQ(answer(call).at("content"), "Hel");
}

TEST(Recording, SessionsByFieldAndByWhatWasConfigured) {
  Exchange x =
      exchange(Api::kChat, R"({"messages":[{"role":"user","content":"q"}],"meta":{"run":"s-1"}})", R"({"choices":[]})");
  x.session_field = "meta.run";
  EXPECT_EQ(recorded(x).meta.session, "s-1");
  x.session = "s-2";
  EXPECT_EQ(recorded(x).meta.session, "s-2");
  x.session_field = "meta.none.deeper";
  x.session.clear();
  EXPECT_EQ(recorded(x).meta.session, "");
}

}  // namespace
}  // namespace slm

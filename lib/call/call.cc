#include "call/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "schema/json_text.h"

namespace slm {

namespace {

// Of both documents; raised when a key is added that older programs must not ignore.
constexpr int64_t kCallFormat = 1;

struct FlagRow {
  std::string_view name;
  bool Flags::*member;
};
constexpr FlagRow kFlagRows[] = {
    {"hci", &Flags::hci},
    {"streamed", &Flags::streamed},
    {"partial", &Flags::partial},
    {"truncated", &Flags::truncated},
    {"vision", &Flags::vision},
    {"needs_parent", &Flags::needs_parent},
    {"undecoded", &Flags::undecoded},
    {"failed", &Flags::failed},
    {"bad_session", &Flags::bad_session},
};

bool read_value(const json::value& v, std::string& out) {
  if (!v.is_string()) return false;
  out.assign(v.get_string().data(), v.get_string().size());
  return true;
}
bool read_value(const json::value& v, int64_t& out) {
  if (v.is_int64()) {
    out = v.get_int64();
    return true;
  }
  return false;
}
bool read_value(const json::value& v, double& out) {
  if (!v.is_number()) return false;
  out = v.to_number<double>();
  return true;
}
bool read_value(const json::value& v, bool& out) {
  if (!v.is_bool()) return false;
  out = v.get_bool();
  return true;
}
template <class T>
bool read_value(const json::value& v, std::optional<T>& out) {
  return read_value(v, out.emplace());
}
bool read_value(const json::value& v, CallId& out) {
  if (!v.is_string()) return false;
  auto id = parse_call_id({v.get_string().data(), v.get_string().size()});
  if (!id) return false;
  out = *id;
  return true;
}
bool read_value(const json::value& v, Flags& out) {
  const auto* names = v.if_array();
  if (names == nullptr) return false;
  for (const auto& name : *names) {
    if (!name.is_string()) return false;
    const std::string_view text{name.get_string().data(), name.get_string().size()};
    const auto* row = std::find_if(std::begin(kFlagRows), std::end(kFlagRows), [&](auto& r) { return r.name == text; });
    if (row == std::end(kFlagRows)) return false;
    out.*(row->member) = true;
  }
  return true;
}

// What isn't known or has its default isn't written.
void write_value(json::object& out, std::string_view key, const std::string& v) {
  if (!v.empty()) out.emplace(key, v);
}
void write_value(json::object& out, std::string_view key, int64_t v) {
  if (v != 0) out.emplace(key, v);
}
void write_value(json::object& out, std::string_view key, bool v) {
  if (v) out.emplace(key, v);
}
template <class T>
void write_value(json::object& out, std::string_view key, const std::optional<T>& v) {
  if (v) out.emplace(key, *v);
}
void write_value(json::object& out, std::string_view key, const CallId& v) { out.emplace(key, v.hex()); }
void write_value(json::object& out, std::string_view key, const Flags& v) {
  json::array names(out.storage());
  for (const auto& row : kFlagRows)
    if (v.*(row.member)) names.emplace_back(row.name);
  if (!names.empty()) out.emplace(key, std::move(names));
}

// Every key of a meta document, once, for both directions.
struct MetaField {
  std::string_view key;
  bool (*read)(const json::value&, CallMeta&);
  void (*write)(json::object&, std::string_view key, const CallMeta&);
};
#define SLM_META(key, member)                                                                       \
  MetaField {                                                                                       \
    key, [](const json::value& v, CallMeta& m) { return read_value(v, m.member); },                 \
        [](json::object& o, std::string_view k, const CallMeta& m) { write_value(o, k, m.member); } \
  }
const MetaField kMetaFields[] = {
    SLM_META("id", id),
    SLM_META("session", session),
    SLM_META("group", group),
    SLM_META("seq", seq),
    SLM_META("site", site),
    SLM_META("time_ms", time_ms),
    SLM_META("latency_ms", latency_ms),
    SLM_META("ttft_ms", ttft_ms),
    SLM_META("provider", provider),
    SLM_META("model", model),
    SLM_META("op", operation),
    SLM_META("finish", finish_reason),
    SLM_META("n_in", usage.n_in),
    SLM_META("n_out", usage.n_out),
    SLM_META("n_cached", usage.n_cached),
    SLM_META("success", success),
    SLM_META("score", score),
    SLM_META("truth", has_truth),
    SLM_META("source", source),
    SLM_META("flags", flags),
    SLM_META("split", split),
    SLM_META("raw_group", raw_group),
};
#undef SLM_META

tl::unexpected<Error> bad_key(std::string_view what, std::string_view key) {
  return fail(ErrorCode::kBadInput,
              fmt::format("{}: key \"{}\" has a value of another type or out of range", what, key));
}

// Keys aren't text of a call here: both documents are ours. A damaged one could hold anything, so an unknown key is
// named by its length only.
tl::unexpected<Error> unknown_key(std::string_view what, std::string_view key) {
  return fail(ErrorCode::kBadInput,
              fmt::format("{}: unknown key of {} bytes in format {}", what, key.size(), kCallFormat));
}

Result<const json::object*> open_document(const json::value& value, std::string_view what) {
  SLM_TRY(const json::object* object, want_object(value, what));
  SLM_TRY(const int64_t format, want_int(*object, "v", what));
  if (format > kCallFormat)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("{}: format {}, this program reads up to {}", what, format, kCallFormat),
                "install a newer slmconv");
  if (format < 1) return bad_key(what, "v");
  return object;
}

bool all_objects(const json::array& array) {
  return std::all_of(array.begin(), array.end(), [](const json::value& v) { return v.is_object(); });
}

}  // namespace

json::object to_json(const CallMeta& meta) {
  json::object out;
  out.reserve(16);
  out.emplace("v", kCallFormat);
  for (const auto& field : kMetaFields) field.write(out, field.key, meta);
  return out;
}

json::object to_json(const CallBody& body) {
  json::object out;
  out.reserve(8);
  out.emplace("v", kCallFormat);
  out.emplace("messages", body.messages);
  if (!body.tools.empty()) out.emplace("tools", body.tools);
  out.emplace("choices", body.choices);
  if (!body.params.empty()) out.emplace("params", body.params);
  if (!body.extra.empty()) out.emplace("extra", body.extra);
  if (!body.truth.is_null()) out.emplace("truth", body.truth);
  if (!body.error.is_null()) out.emplace("error", body.error);
  return out;
}

std::string body_text(const CallBody& body) {
  std::string out = fmt::format("{{\"v\":{},\"messages\":", kCallFormat);
  const auto add = [&](std::string_view key, const auto& value) {
    out += key;
    append_json(out, value);
  };
  append_json(out, body.messages);
  if (!body.tools.empty()) add(",\"tools\":", body.tools);
  add(",\"choices\":", body.choices);
  if (!body.params.empty()) add(",\"params\":", body.params);
  if (!body.extra.empty()) add(",\"extra\":", body.extra);
  if (!body.truth.is_null()) add(",\"truth\":", body.truth);
  if (!body.error.is_null()) add(",\"error\":", body.error);
  out += '}';
  return out;
}

Result<CallMeta> call_meta_from_json(const json::value& value) {
  constexpr std::string_view kWhat = "call meta";
  SLM_TRY(const json::object* object, open_document(value, kWhat));
  CallMeta meta;
  meta.operation.clear();
  bool has_id = false;
  for (const auto& item : *object) {
    const std::string_view key = item.key();
    if (key == "v") continue;
    const auto* field =
        std::find_if(std::begin(kMetaFields), std::end(kMetaFields), [&](auto& f) { return f.key == key; });
    if (field == std::end(kMetaFields)) return unknown_key(kWhat, key);
    if (!field->read(item.value(), meta)) return bad_key(kWhat, field->key);
    has_id = has_id || key == "id";
  }
  if (!has_id) return fail(ErrorCode::kBadInput, fmt::format("{}: \"id\" is missing", kWhat));
  return meta;
}

Result<CallBody> call_body_from_json(const json::value& value) {
  constexpr std::string_view kWhat = "call body";
  SLM_TRY(const json::object* object, open_document(value, kWhat));
  CallBody body;
  bool has_messages = false, has_choices = false;
  for (const auto& item : *object) {
    const std::string_view key = item.key();
    const json::value& v = item.value();
    if (key == "v") continue;
    if (key == "messages" || key == "tools" || key == "choices") {
      if (!v.is_array() || !all_objects(v.get_array())) return bad_key(kWhat, key);
      (key == "messages" ? body.messages : key == "tools" ? body.tools : body.choices) = v.get_array();
      has_messages = has_messages || key == "messages";
      has_choices = has_choices || key == "choices";
    } else if (key == "params" || key == "extra") {
      if (!v.is_object()) return bad_key(kWhat, key);
      (key == "params" ? body.params : body.extra) = v.get_object();
    } else if (key == "truth") {
      if (!v.is_object()) return bad_key(kWhat, key);
      body.truth = v;
    } else if (key == "error") {
      body.error = v;
    } else {
      return unknown_key(kWhat, key);
    }
  }
  if (!has_messages) return fail(ErrorCode::kBadInput, fmt::format("{}: \"messages\" is missing", kWhat));
  if (!has_choices) return fail(ErrorCode::kBadInput, fmt::format("{}: \"choices\" is missing", kWhat));
  return body;
}

const json::object* answer_of(const CallBody& body) {
  if (body.choices.empty() || !body.choices.front().is_object()) return nullptr;
  return get_object(body.choices.front().get_object(), "message");
}

std::string content_text(const json::object& message) {
  const auto* content = message.if_contains("content");
  if (content == nullptr) return {};
  if (content->is_string()) return std::string(content->get_string());
  std::string out;
  if (const auto* parts = content->if_array()) {
    bool first = true;
    for (const auto& part : *parts) {
      const auto* object = part.if_object();
      if (object == nullptr) continue;
      const auto* text = object->if_contains("text");
      if (text == nullptr || !text->is_string()) continue;
      if (!first) out += '\n';
      first = false;
      out += text->get_string();
    }
  }
  return out;
}

std::string first_tool(const json::object& answer) {
  const auto* calls = get_array(answer, "tool_calls");
  if (calls == nullptr || calls->empty() || !calls->front().is_object()) return {};
  const auto& call = calls->front().get_object();
  for (const std::string_view kind : {"function", "custom"})
    if (const auto* named = get_object(call, kind)) return std::string(get_string(*named, "name"));
  return {};
}

std::string canonical_text(const CallBody& body) {
  // Two answers of the same words are one, whatever else might have been said.
  const auto has_more = [](const json::value& choice) {
    return choice.is_object() && choice.get_object().contains("logprobs");
  };
  std::string out = "{\"choices\":";
  if (std::any_of(body.choices.begin(), body.choices.end(), has_more)) {
    json::array choices = body.choices;
    for (auto& choice : choices)
      if (auto* object = choice.if_object()) object->erase("logprobs");
    out += canonical_json(choices);
  } else {
    out += canonical_json(body.choices);
  }
  if (!body.error.is_null()) out += ",\"error\":" + canonical_json(body.error);
  out += ",\"messages\":" + canonical_json(body.messages);
  out += ",\"params\":" + canonical_json(body.params);
  out += ",\"tools\":" + canonical_json(body.tools);
  out += '}';
  return out;
}

json::array last_input_delta(const json::array& messages) {
  const auto role_is = [](const json::value& message, std::string_view role) {
    const auto* object = message.if_object();
    return object != nullptr && get_string(*object, "role") == role;
  };
  size_t begin = messages.size();
  while (begin > 0 && !role_is(messages[begin - 1], "assistant")) --begin;
  if (begin == 0)
    while (begin < messages.size() && (role_is(messages[begin], "system") || role_is(messages[begin], "developer")))
      ++begin;
  if (begin == messages.size()) begin = 0;
  return json::array(messages.begin() + static_cast<ptrdiff_t>(begin), messages.end());
}

}  // namespace slm

#include "collect/call_writer.h"

#include <fmt/format.h>

#include <cstring>

namespace slm::collect {

Result<std::unique_ptr<CallWriter>> CallWriter::open(store::Store& store, const store::AppendOptions& options) {
  SLM_TRY(auto appender, store.append(store::Store::Space::kRaw, options));
  return std::unique_ptr<CallWriter>(new CallWriter(store, std::move(appender)));
}

Result<store::NewCall> new_call(const store::Store& store, CallMeta meta, std::string body, const store::Tag& tag,
                                const Namer& name_of) {
  store::NewCall call;
  SLM_TRY(meta.id, store.new_call_id(tag));
  call.id = meta.id;
  call.tag = tag;
  call.source = meta.source;
  for (std::string* name : {&meta.session, &meta.group})
    if (!name->empty()) {
      SLM_TRY(*name, name_of("ses", *name));
    }
  if (!meta.source.empty()) {
    SLM_TRY(meta.source, name_of("src", meta.source));
  }
  call.meta = json::serialize(to_json(meta));
  call.body = std::move(body);
  return call;
}

ReadCall read_call(const dialects::LoggedCall& logged) {
  const bool is_named = !logged.key.empty();
  return {logged.call.meta, body_text(logged.call.body), is_named ? logged.key : canonical_text(logged.call.body),
          is_named};
}

Result<std::string> CallWriter::pseudonym(std::string_view kind, std::string_view value) {
  constexpr size_t kMaxNames = 4096;
  std::string key = fmt::format("{} {}", kind, value);
  if (const auto known = names_.find(key); known != names_.end()) return known->second;
  if (names_.size() >= kMaxNames) names_.clear();
  SLM_TRY(std::string name, store_.pseudonym(kind, value));
  return names_.emplace(std::move(key), std::move(name)).first->second;
}

Result<store::Tag> CallWriter::tag_of(const ReadCall& read) {
  if (read.is_named) return store_.content_tag(read.name, std::nullopt, 0);
  SLM_TRY(store::Tag tag, store_.content_tag(read.name, read.meta.time_ms, 0));
  uint64_t key = 0;
  std::memcpy(&key, tag.data(), sizeof key);
  if (const uint64_t occurrence = occurrences_.count(key); occurrence > 0) {
    SLM_TRY(tag, store_.content_tag(read.name, read.meta.time_ms, occurrence));
  }
  return tag;
}

Status CallWriter::add(ReadCall read) {
  SLM_TRY(const store::Tag tag, tag_of(read));
  SLM_TRY(store::NewCall call,
          new_call(store_, std::move(read.meta), std::move(read.body), tag,
                   [this](std::string_view kind, std::string_view value) { return pseudonym(kind, value); }));
  return appender_->add(std::move(call)).map([](bool) {});
}

}  // namespace slm::collect

#include "collect/call_writer.h"

#include <fmt/format.h>

#include <cstring>

namespace slm::collect {

Result<std::unique_ptr<CallWriter>> CallWriter::open(store::Store& store, const store::AppendOptions& options) {
  SLM_TRY(auto appender, store.append(store::Store::Space::kRaw, options));
  return std::unique_ptr<CallWriter>(new CallWriter(store, std::move(appender)));
}

Result<store::NewCall> new_call(const store::Store& store, const Call& read, const store::Tag& tag,
                                const Namer& name_of) {
  store::NewCall call;
  CallMeta meta = read.meta;
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
  call.body = body_text(read.body);
  return call;
}

Result<std::string> CallWriter::pseudonym(std::string_view kind, std::string_view value) {
  constexpr size_t kMaxNames = 4096;
  std::string key = fmt::format("{} {}", kind, value);
  if (const auto known = names_.find(key); known != names_.end()) return known->second;
  if (names_.size() >= kMaxNames) names_.clear();
  SLM_TRY(std::string name, store_.pseudonym(kind, value));
  return names_.emplace(std::move(key), std::move(name)).first->second;
}

Result<store::Tag> CallWriter::tag_of(const dialects::LoggedCall& logged) {
  if (!logged.key.empty()) return store_.content_tag(logged.key, std::nullopt, 0);
  const std::optional<int64_t> time_ms = logged.call.meta.time_ms;
  const std::string content = canonical_text(logged.call.body);
  SLM_TRY(store::Tag tag, store_.content_tag(content, time_ms, 0));
  uint64_t key = 0;
  std::memcpy(&key, tag.data(), sizeof key);
  if (const uint64_t occurrence = occurrences_.count(key); occurrence > 0) {
    SLM_TRY(tag, store_.content_tag(content, time_ms, occurrence));
  }
  return tag;
}

Status CallWriter::add(const dialects::LoggedCall& logged) {
  const Call& read = logged.call;
  SLM_TRY(const store::Tag tag, tag_of(logged));
  SLM_TRY(store::NewCall call, new_call(store_, read, tag, [this](std::string_view kind, std::string_view value) {
            return pseudonym(kind, value);
          }));
  return appender_->add(std::move(call)).map([](bool) {});
}

}  // namespace slm::collect

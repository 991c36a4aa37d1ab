#include "collect/call_writer.h"

#include <cstring>

namespace slm::collect {

Result<std::unique_ptr<CallWriter>> CallWriter::open(store::Store& store, const store::AppendOptions& options) {
  SLM_TRY(auto appender, store.append(store::Store::Space::kRaw, options));
  return std::unique_ptr<CallWriter>(new CallWriter(store, std::move(appender)));
}

Status CallWriter::add(const dialects::LoggedCall& logged) {
  const CallBody& body = logged.call.body;
  CallMeta meta = logged.call.meta;

  const std::string content = canonical_text(body);
  SLM_TRY(store::Tag tag, store_.content_tag(content, meta.time_ms, 0));
  uint64_t key = 0;
  std::memcpy(&key, tag.data(), sizeof key);
  if (const uint64_t occurrence = occurrences_.count(key); occurrence > 0) {
    SLM_TRY(tag, store_.content_tag(content, meta.time_ms, occurrence));
  }

  SLM_TRY(meta.id, store_.new_call_id(tag));
  store::NewCall call;
  call.id = meta.id;
  call.tag = tag;
  call.source = meta.source;
  for (std::string* name : {&meta.session, &meta.group})
    if (!name->empty()) {
      SLM_TRY(*name, store_.pseudonym("ses", *name));
    }
  if (!meta.source.empty()) {
    SLM_TRY(meta.source, store_.pseudonym("src", meta.source));
  }
  call.meta = json::serialize(to_json(meta));
  call.body = json::serialize(to_json(body));
  return appender_->add(std::move(call)).map([](bool) {});
}

}  // namespace slm::collect

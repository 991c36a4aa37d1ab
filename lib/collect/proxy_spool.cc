#include "collect/proxy_spool.h"

namespace slm::collect {

namespace {

constexpr std::string_view kInfo = "slmconv collector spool 1";

Bytes encode(const store::NewCall& call) {
  Bytes out;
  put_field(out, call.id.bytes);
  put_field(out, call.tag);
  for (const std::string* text : {&call.source, &call.meta, &call.body}) put_field(out, as_bytes(*text));
  return out;
}

bool decode(ByteSpan from, store::NewCall& call) {
  ByteSpan fields[5];
  for (ByteSpan& field : fields)
    if (!take_field(from, field)) return false;
  if (!from.empty() || fields[0].size() != call.id.bytes.size() || fields[1].size() != call.tag.size()) return false;
  std::copy(fields[0].begin(), fields[0].end(), call.id.bytes.begin());
  std::copy(fields[1].begin(), fields[1].end(), call.tag.begin());
  call.source = as_text(fields[2]);
  call.meta = as_text(fields[3]);
  call.body = as_text(fields[4]);
  return true;
}

}  // namespace

Result<std::unique_ptr<Spool>> Spool::open(Options options, crypto::Identity identity) {
  std::unique_ptr<Spool> spool(new Spool);
  SLM_TRY(spool->file_, SealedRecords::open({options.path, options.max_bytes, std::string(kInfo), options.sync},
                                            std::make_shared<const crypto::Identity>(std::move(identity))));
  return spool;
}

Result<bool> Spool::put(const store::NewCall& call) { return file_->put(encode(call)); }

Status Spool::read(const std::function<Status(store::NewCall)>& visit) {
  return file_->read([&](ByteSpan record) -> Status {
    store::NewCall call;
    // Sealed by this program: a record of another shape was made by another version of it.
    if (!decode(record, call)) return fail(ErrorCode::kIntegrity, "a spooled call has another shape");
    return visit(std::move(call));
  });
}

}  // namespace slm::collect

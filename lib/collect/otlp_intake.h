// OTLP/HTTP's rules, apart from the network: what a request holds and what it is answered.
//
//   POST /v1/traces, /v1/logs                      application/x-protobuf or application/json; the answer has the same
//   read                                           200, an Export…ServiceResponse; spans or records without ids are
//                                                  told as a partial success, which isn't to be sent again
//   damaged, another shape                         400 with a Status message
//   another type of content                        415
//   another path, another method                   404, 405
//   no room, a failing store                       503 with Retry-After: to be sent again
//
// Threads: pure.
// Source: open-telemetry/opentelemetry-proto docs/specification.md (OTLP/HTTP), collector/{trace,logs}/v1,
// google/rpc/status.proto.
#pragma once

#include <string>
#include <string_view>

#include "call/otel.h"

namespace slm::collect {

struct OtlpRequest {
  std::string_view method, path, content_type, body;  // body: without content coding
};
struct OtlpAnswer {
  int status = 200;
  std::string content_type, body;
  int retry_after_s = 0;  // 0: not to be said
};

// What the request holds goes into `out`; nothing of it is used unless the status is 200.
OtlpAnswer read_otlp(const OtlpRequest& request, otel::Batch& out);
OtlpAnswer refuse_otlp(const OtlpRequest& request, int status, std::string_view why);

}  // namespace slm::collect

// Calls for tests of scrubbing: one request, one answer.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "call/call.h"

namespace slm::test {

inline Call make_call(std::string session, std::string_view user, std::string_view answer,
                      std::string_view system = "Route it.") {
  Call call;
  call.meta.session = std::move(session);
  call.meta.source = "src_1";
  call.body.messages = {{{"role", "system"}, {"content", system}}, {{"role", "user"}, {"content", user}}};
  call.body.choices = {{{"message", {{"role", "assistant"}, {"content", answer}}}, {"finish_reason", "stop"}}};
  return call;
}

}  // namespace slm::test

#include "scrub/conversations.h"

#include <boost/unordered/unordered_flat_map.hpp>

#include "core/hash.h"

namespace slm::scrub {

namespace {

using Link = Digest;

// What came before, and one more message.
Link link(const Link& before, std::string_view message) {
  Sha256 hash;
  hash.update(ByteSpan(before));
  hash.update(message);
  return hash.finish();
}

std::string answer_text(const json::object& message) {
  std::string out = "assistant\n" + content_text(message);
  const auto* calls = message.if_contains("tool_calls");
  if (calls == nullptr || !calls->is_array()) return out;
  for (const auto& call : calls->get_array()) {
    const auto* object = call.if_object();
    const auto* function = object == nullptr ? nullptr : object->if_contains("function");
    if (function != nullptr) out += "\n" + canonical_json(*function);
  }
  return out;
}

bool is_answer(const json::object& message) { return get_string(message, "role") == "assistant"; }

}  // namespace

// By hash of what a call's successor begins with.
struct Conversations::Table : boost::unordered_flat_map<uint64_t, uint32_t> {};

Conversations::Conversations() : first_(std::make_unique<Table>()) {}
Conversations::~Conversations() = default;

uint32_t Conversations::add(const Call& call, uint32_t number) {
  uint32_t first = number;
  Link so_far = sha256(as_bytes(call.meta.source));
  for (const json::value& value : call.body.messages) {
    const json::object& message = value.get_object();
    const bool answers = is_answer(message);
    so_far = link(so_far, answers ? answer_text(message) : canonical_json(value));
    if (!answers) continue;
    // Later ones are longer.
    if (const auto known = first_->find(get_u64(so_far.data())); known != first_->end()) first = known->second;
  }
  for (const json::value& choice : call.body.choices) {
    const auto* message = choice.get_object().if_contains("message");
    if (message == nullptr || !message->is_object()) continue;
    first_->insert_or_assign(get_u64(link(so_far, answer_text(message->get_object())).data()), first);
  }
  return first;
}

}  // namespace slm::scrub

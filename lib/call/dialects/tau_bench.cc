// tau-bench trajectories: a record is one trial of one task, every assistant turn of it a call.
//
//   record             calls
//   traj[]             prompt and answer of each assistant turn
//   reward             score; success = reward ≥ 1; a turn of a failed trial is flagged bad_session
//   task_id            group: trials of one task of one domain (told by the system prompt) belong together
//   trial              session = group, trial and a digest of the trajectory (files of several runs don't collide)
//   info               not kept (the simulated user's instruction)
//
// A turn without tool calls is said to the (simulated) user: human-facing.
// Source: sierra-research/tau-bench@59a200c6d5, historical_trajectories/ and tau_bench/run.py.
#include <fmt/format.h>

#include "call/dialects/dialect.h"
#include "call/dialects/normalise.h"
#include "call/dialects/unfold.h"
#include "core/hash.h"

namespace slm::dialects {

int sniff_tau_bench(const json::value& record) {
  const auto* object = record.if_object();
  if (object == nullptr || get_array(*object, "traj") == nullptr) return 0;
  return object->contains("reward") && object->contains("task_id") ? 100 : 50;
}

std::string_view parse_tau_bench(json::value& record, CallSink& sink) {
  auto* object = record.if_object();
  if (object == nullptr) return "not_an_object";
  auto* traj = object->if_contains("traj");
  if (traj == nullptr || !traj->is_array() || traj->get_array().empty()) return "no_messages";
  const std::string task = read_label(object->if_contains("task_id"));
  if (task.empty()) return "no_task_id";

  Conversation conversation;
  conversation.text_is_for_human = true;
  conversation.messages = std::move(traj->get_array());
  CallMeta& meta = conversation.common.meta;
  if (const auto reason = normalise_messages(conversation.messages, meta.flags.vision); !reason.empty()) return reason;

  const auto& first = conversation.messages.front().get_object();
  const std::string domain = get_string(first, "role") == "system" ? content_text(first) : std::string();
  meta.group = fmt::format("tau-bench/{}/{}", sha256_hex(domain).substr(0, 16), task);
  meta.session = fmt::format("{}/{}/{}", meta.group, read_label(object->if_contains("trial")),
                             conversation_digest(conversation.messages));
  Outcome outcome;
  outcome.score = get_number(*object, "reward");
  if (outcome.score) outcome.success = *outcome.score >= 1.0 - 1e-6;
  set_outcome(conversation.common, outcome);
  return unfold(conversation, sink);
}

}  // namespace slm::dialects

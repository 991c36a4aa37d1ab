#include "evaluate/units.h"

#include <algorithm>

#include "core/hash.h"

namespace slm::evaluate {

Result<UnitChoice> choose_units(const dataset::View& view, const store::Store& store, const UnitOptions& options) {
  UnitChoice out;
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < view.rows().size(); ++i) {
    const dataset::Row& row = view.rows()[i];
    if (row.task != options.task || row.side != dataset::Side::kTest) continue;
    ++out.n_in;
    if (row.failed) {
      ++out.dropped["failed"];
    } else if (row.outlier) {
      ++out.dropped["outlier"];
    } else if (options.linked && options.linked->contains(view.group_name(row.group))) {
      ++out.dropped["linked_across_sides"];
    } else if (options.barrier && options.barrier->contains(group_hash(view.group_name(row.group)))) {
      ++out.dropped["seen_before_candidate"];
    } else {
      open.push_back(i);
    }
  }
  SLM_TRY(out.rows, view.one_per_group(store, open));
  if (open.size() > out.rows.size())
    out.dropped["same_session_group"] = static_cast<int64_t>(open.size() - out.rows.size());

  if (options.max_sessions > 0 && static_cast<int64_t>(out.rows.size()) > options.max_sessions) {
    std::vector<std::pair<std::string, uint32_t>> drawn;
    for (uint32_t i : out.rows) {
      SLM_TRY(std::string key, store.keyed_digest("limit\n" + view.group_name(view.rows()[i].group)));
      drawn.emplace_back(std::move(key), i);
    }
    std::sort(drawn.begin(), drawn.end());
    out.dropped["over_max_sessions"] = static_cast<int64_t>(drawn.size()) - options.max_sessions;
    drawn.resize(static_cast<size_t>(options.max_sessions));
    out.rows.clear();
    for (const auto& [key, i] : drawn) out.rows.push_back(i);
    std::sort(out.rows.begin(), out.rows.end());
  }
  out.all_have_truth = !out.rows.empty() && std::all_of(out.rows.begin(), out.rows.end(),
                                                        [&](uint32_t i) { return view.rows()[i].has_truth; });
  return out;
}

Result<std::string> units_digest(const dataset::View& view, store::Store& store, const std::vector<uint32_t>& rows) {
  SLM_TRY(const std::string metas, view.digest(store, rows));
  Sha256 bodies;
  SLM_CHECK(view.load(store, rows, "evaluate", [&](uint32_t, Call& call) -> Status {
    bodies.update(ByteSpan(sha256(as_bytes(canonical_json(to_json(call.body))))));
    return {};
  }));
  return store.keyed_digest("units\n" + metas + "\n" + to_hex(bodies.finish()));
}

Result<std::vector<Unit>> load_units(const dataset::View& view, store::Store& store, const std::vector<uint32_t>& rows,
                                     bool by_truth) {
  std::vector<Unit> out;
  out.reserve(rows.size());
  SLM_CHECK(view.load(store, rows, "evaluate", [&](uint32_t, Call& call) -> Status {
    const json::object* logged = answer_of(call.body);
    const json::object* truth = call.body.truth.if_object();
    const json::object* reference = by_truth ? truth : logged;
    if (!reference) return {};
    Unit unit;
    unit.id = call.meta.id;
    unit.reference = *reference;
    if (logged) unit.logged = *logged;
    unit.llm_latency_ms = call.meta.latency_ms;
    unit.prompt.messages = std::move(call.body.messages);
    unit.prompt.tools = std::move(call.body.tools);
    out.push_back(std::move(unit));
    return {};
  }));
  return out;
}

}  // namespace slm::evaluate

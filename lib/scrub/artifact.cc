#include "scrub/artifact.h"

#include "core/hash.h"
#include "schema/artifacts.h"

namespace slm::scrub {

namespace {

json::object counts_json(const std::map<std::string, int64_t>& counts) {
  json::object out;
  for (const auto& [name, n] : counts) out[name] = n;
  return out;
}
std::map<std::string, int64_t> counts_of(const json::object& object, std::string_view key) {
  std::map<std::string, int64_t> out;
  if (const json::object* counts = get_object(object, key))
    for (const auto& member : *counts) out[std::string(member.key())] = member.value().to_number<int64_t>();
  return out;
}

}  // namespace

json::object to_json(const Report& r) {
  json::object out;
  out["n_in"] = r.n_in;
  out["n_out"] = r.n_out;
  out["dropped"] = counts_json(r.dropped);
  out["found"] = counts_json(r.found);
  out["actions"] = counts_json(r.actions);
  out["split_calls"] = counts_json(r.split_calls);
  out["split_groups"] = counts_json(r.split_groups);
  out["n_sessions"] = r.n_sessions;
  out["n_groups"] = r.n_groups;
  out["n_merged_groups"] = r.n_merged_groups;
  out["linked_groups"] = json::array(r.linked_groups.begin(), r.linked_groups.end());
  out["n_files"] = r.n_files;
  out["n_logprobs_dropped"] = r.n_logprobs_dropped;
  out["n_unmeasured"] = r.n_unmeasured;
  out["n_over_limit"] = r.n_over_limit;
  json::array gate;
  for (const GateRow& row : r.gate)
    gate.push_back({{"type", row.type},
                    {"n_planted", row.n_planted},
                    {"n_left", row.n_left},
                    {"recall", row.recall()},
                    {"n_found", row.n_found},
                    {"n_false", row.n_false},
                    {"false_share", row.false_share()},
                    {"bound_recall", row.bound_recall},
                    {"bound_false", row.bound_false},
                    {"met", row.met()}});
  out["gate"] = std::move(gate);
  return out;
}

Result<Report> report_from_json(const json::value& value) {
  SLM_CHECK(validate_json(value, "schemas/scrub/report.schema.json"));
  const json::object& o = value.get_object();
  Report r;
  r.n_in = get_int(o, "n_in").value_or(0);
  r.n_out = get_int(o, "n_out").value_or(0);
  r.dropped = counts_of(o, "dropped");
  r.found = counts_of(o, "found");
  r.actions = counts_of(o, "actions");
  r.split_calls = counts_of(o, "split_calls");
  r.split_groups = counts_of(o, "split_groups");
  r.n_sessions = get_int(o, "n_sessions").value_or(0);
  r.n_groups = get_int(o, "n_groups").value_or(0);
  r.n_merged_groups = get_int(o, "n_merged_groups").value_or(0);
  for (const json::value& name : *get_array(o, "linked_groups")) r.linked_groups.emplace_back(name.get_string());
  r.n_files = get_int(o, "n_files").value_or(0);
  r.n_logprobs_dropped = get_int(o, "n_logprobs_dropped").value_or(0);
  r.n_unmeasured = get_int(o, "n_unmeasured").value_or(0);
  r.n_over_limit = get_int(o, "n_over_limit").value_or(0);
  for (const json::value& item : *get_array(o, "gate")) {
    const json::object& row = item.get_object();
    r.gate.push_back({.type = std::string(get_string(row, "type")),
                      .n_planted = get_int(row, "n_planted").value_or(0),
                      .n_left = get_int(row, "n_left").value_or(0),
                      .n_found = get_int(row, "n_found").value_or(0),
                      .n_false = get_int(row, "n_false").value_or(0),
                      .bound_recall = get_number(row, "bound_recall").value_or(0),
                      .bound_false = get_number(row, "bound_false").value_or(0)});
  }
  return r;
}

Result<Report> load_report(const std::filesystem::path& store_dir) {
  SLM_TRY(const Manifest manifest, read_current(store_dir, kStep));
  SLM_TRY(const json::value value, read_json_file(artifact_dir(store_dir, kStep, manifest.id) / "report.json"));
  return report_from_json(value);
}

Result<std::string> curated_digest(store::Store& store, std::string_view purpose) {
  Sha256 hash;
  const store::ScanOptions options{.purpose = std::string(purpose)};
  SLM_CHECK(store.scan(store::Store::Space::kCurated, options, [&](store::StoredCall& call) -> Result<bool> {
    hash.update(ByteSpan(call.id.bytes));
    hash.update(ByteSpan(sha256(as_bytes(call.meta))));
    return true;
  }));
  return store.keyed_digest("curated\n" + to_hex(hash.finish()));
}

}  // namespace slm::scrub

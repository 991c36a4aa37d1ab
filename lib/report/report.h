// The report of one store: what was collected, scrubbed, found, trained and measured, from public manifests alone, as
// Markdown, one self-contained HTML file and summary.json. It holds no text of a call; names of tasks are public.
//
// Units: ratios in [0,1]; usd per 30 days; ms; tokens.
// Errors: kManifestMismatch when nothing has been clustered yet.
// Source: schemas/summary.schema.json is the shape of summary.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "schema/json.h"

namespace slm::report {

struct TaskRow {
  std::string id, name, kind;
  int64_t n_calls = 0;
  double call_share = 0, cost_share = 0;
  // Measured on test units; absent where not measurable or not evaluated yet.
  int64_t n_units = 0;
  std::optional<double> base, tuned, llm, majority, nearest;
  std::optional<double> bound;            // upper bound of what replacing loses, at the task's Holm level
  double delta = 0.05;                    // margin it is compared with
  bool agreement = false;                 // measured against the logged answers, not against truth
  std::string verdict = "not_evaluated";  // replace, keep, need_more, not_measurable
  std::string reason;
  std::optional<int64_t> need_sessions;
  std::optional<double> latency_ms, llm_latency_ms, tokens_per_s;
  std::optional<double> cost_usd, saving_usd;  // per 30 days
  std::optional<int64_t> n_train;
};

struct Funnel {
  int64_t n_in = 0, n_out = 0;
  std::map<std::string, int64_t> dropped;
};

struct ReportData {
  std::string title = "slmconv report";
  std::string made;  // UTC
  std::string tool;
  bool demo_store = false;
  std::optional<Funnel> scrub;
  std::map<std::string, int64_t> found_by_type;  // private data replaced, by type
  std::vector<TaskRow> tasks;
  std::map<std::string, std::string> artefacts;  // step → id
  std::string prices;                            // "prices of 2026-08-01, source"
  std::string device;
  double delta = 0.05;
};

Result<ReportData> load_report(const std::filesystem::path& store_dir);

json::object summary_json(const ReportData& data);
std::string markdown(const ReportData& data);
std::string html(const ReportData& data);

// Shared by the three: "3 of 6 tasks can move …"
std::string headline(const ReportData& data);
// "0.94" or "–".
std::string ratio_text(std::optional<double> value);
std::string money_text(std::optional<double> usd);
std::string verdict_text(std::string_view verdict);

}  // namespace slm::report

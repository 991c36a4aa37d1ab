#include "dataset/view.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "core/hash.h"

namespace slm::dataset {

std::string_view side_name(Side side) {
  switch (side) {
    case Side::kTrain:
      return "train";
    case Side::kValidation:
      return "validation";
    case Side::kTest:
      return "test";
  }
  return "train";
}

std::optional<Side> parse_side(std::string_view name) {
  for (const Side side : {Side::kTrain, Side::kValidation, Side::kTest})
    if (name == side_name(side)) return side;
  return std::nullopt;
}

std::string group_of(const CallMeta& meta) {
  if (!meta.group.empty()) return meta.group;
  if (!meta.session.empty()) return meta.session;
  return meta.id.hex();
}

namespace {

uint32_t clamp_u32(int64_t value) {
  return static_cast<uint32_t>(std::clamp<int64_t>(value, 0, std::numeric_limits<uint32_t>::max()));
}

Result<Row> row_of(const CallMeta& meta, const View::TaskOf& task) {
  const auto side = parse_side(meta.split);
  if (!side)
    return fail(ErrorCode::kBadInput,
                fmt::format("curated call {} has side '{}', not train, validation or test", meta.id.hex(), meta.split),
                "slmconv store verify");
  Row row;
  row.id = meta.id;
  row.task = task.task;
  row.outlier = task.outlier;
  row.seq = clamp_u32(meta.seq);
  row.side = *side;
  row.failed = meta.flags.failed;
  row.bad_session = meta.flags.bad_session;
  row.hci = meta.flags.hci;
  row.has_truth = meta.has_truth;
  row.n_in = clamp_u32(meta.usage.n_in.value_or(0));
  row.n_out = clamp_u32(meta.usage.n_out.value_or(0));
  return row;
}

}  // namespace

Result<View> View::build(store::Store& store, const std::unordered_map<CallId, TaskOf>& task_of,
                         std::string_view purpose) {
  View view;
  std::unordered_map<std::string, uint32_t> group_index;
  const store::ScanOptions options{.purpose = std::string(purpose)};
  SLM_CHECK(store.scan(store::Store::Space::kCurated, options, [&](store::StoredCall& call) -> Result<bool> {
    const auto task = task_of.find(call.id);
    if (task == task_of.end()) return true;
    SLM_TRY(const json::value value, parse_json(call.meta));
    SLM_TRY(CallMeta meta, call_meta_from_json(value));
    meta.id = call.id;
    SLM_TRY(Row row, row_of(meta, task->second));
    std::string name = group_of(meta);
    const auto [it, is_new] = group_index.try_emplace(name, static_cast<uint32_t>(view.groups_.size()));
    if (is_new) view.groups_.push_back(std::move(name));
    row.group = it->second;
    view.rows_.push_back(row);
    view.meta_hashes_.push_back(sha256(as_bytes(call.meta)));
    return true;
  }));
  return view;
}

std::vector<uint32_t> View::select(const Select& what) const {
  std::vector<uint32_t> out;
  for (uint32_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (row.task != what.task || row.side != what.side || row.failed || row.bad_session) continue;
    out.push_back(i);
  }
  return out;
}

Result<std::vector<uint32_t>> View::one_per_group(const store::Store& store, const std::vector<uint32_t>& rows) const {
  // Per group the row whose keyed hash is smallest: which one it is can't be chosen by whoever writes the log, and
  // leaving other rows out doesn't change it.
  std::unordered_map<uint32_t, std::pair<std::string, uint32_t>> best;
  for (const uint32_t i : rows) {
    const Row& row = rows_[i];
    SLM_TRY(std::string hash, store.keyed_digest("unit\n" + groups_[row.group] + "\n" + row.id.hex()));
    const auto [it, is_new] = best.try_emplace(row.group, hash, i);
    if (!is_new && hash < it->second.first) it->second = {std::move(hash), i};
  }
  std::vector<uint32_t> out;
  out.reserve(best.size());
  for (const auto& [group, choice] : best) out.push_back(choice.second);
  std::sort(out.begin(), out.end());
  return out;
}

Result<bool> View::units_have_truth(const store::Store& store, uint32_t task) const {
  std::vector<uint32_t> open;
  for (uint32_t i = 0; i < rows_.size(); ++i)
    if (rows_[i].task == task && rows_[i].side == Side::kTest && !rows_[i].failed && !rows_[i].outlier)
      open.push_back(i);
  SLM_TRY(const auto units, one_per_group(store, open));
  return !units.empty() && std::all_of(units.begin(), units.end(), [&](uint32_t i) { return rows_[i].has_truth; });
}

Result<std::string> View::digest(const store::Store& store, const std::vector<uint32_t>& rows) const {
  Sha256 hash;
  for (const uint32_t i : rows) {
    hash.update(ByteSpan(rows_[i].id.bytes));
    hash.update(ByteSpan(meta_hashes_[i]));
  }
  return store.keyed_digest("rows\n" + to_hex(hash.finish()));
}

Status View::load(store::Store& store, const std::vector<uint32_t>& rows, std::string_view purpose,
                  const std::function<Status(uint32_t row, Call& call)>& visit) const {
  if (rows.empty()) return {};
  std::unordered_map<CallId, uint32_t> wanted;
  wanted.reserve(rows.size());
  std::vector<CallId> ids;
  ids.reserve(rows.size());
  for (const uint32_t i : rows)
    if (wanted.try_emplace(rows_[i].id, i).second) ids.push_back(rows_[i].id);
  std::sort(ids.begin(), ids.end());
  size_t n_seen = 0;
  const store::ScanOptions options{.body = true, .purpose = std::string(purpose), .only = &ids};
  const auto take = [&](store::StoredCall& stored) -> Result<bool> {
    const auto it = wanted.find(stored.id);
    if (it == wanted.end()) return true;
    SLM_TRY(const json::value meta, parse_json(stored.meta));
    SLM_TRY(const json::value body, parse_json(stored.body));
    Call call;
    SLM_TRY(call.meta, call_meta_from_json(meta));
    SLM_TRY(call.body, call_body_from_json(body));
    call.meta.id = stored.id;
    SLM_CHECK(visit(it->second, call));
    return ++n_seen < ids.size();
  };
  SLM_CHECK(store.scan(store::Store::Space::kCurated, options, take));
  if (n_seen != ids.size())
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("{} of {} calls are no longer in the store", ids.size() - n_seen, ids.size()),
                "slmconv cluster");
  return {};
}

}  // namespace slm::dataset

#include "cluster/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "cluster/discover.h"
#include "cluster/features.h"
#include "cluster/lineage.h"
#include "cluster/map_impl.h"
#include "cluster/names.h"
#include "cluster/profile.h"
#include "cluster/tasks_file.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/random.h"
#include "schema/artifacts.h"
#include "score/cost.h"
#include "scrub/artifact.h"

namespace slm::cluster {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPurpose = "cluster";
constexpr size_t kBatch = 1024;            // calls assigned at a time
constexpr double kUnpricedOutRatio = 4.0;  // an output token costs this many input tokens where a price is missing

// The highest number of a task that the store's public files speak of; 0 if none. Numbers of tasks are never used
// again, so that an earlier map's adapters and verdicts can't be taken for a new task's.
uint32_t highest_number(const json::value& value) {
  uint32_t highest = 0;
  if (const auto* text = value.if_string()) {
    uint32_t number = 0;
    const char* end = text->data() + text->size();
    if (text->starts_with('t') && std::from_chars(text->data() + 1, end, number).ptr == end && number < 1'000'000'000)
      highest = number;
  } else if (const auto* list = value.if_array()) {
    for (const auto& item : *list) highest = std::max(highest, highest_number(item));
  } else if (const auto* object = value.if_object()) {
    for (const auto& item : *object) highest = std::max(highest, highest_number(item.value()));
  }
  return highest;
}

uint32_t highest_number(const fs::path& store) {
  uint32_t highest = 0;
  std::error_code ec;
  for (const auto& entry : fs::directory_iterator(store / "artifacts" / kStep, ec))
    if (const auto manifest = read_json_file(entry.path() / "manifest.json"); manifest && manifest->is_object())
      if (const auto* summary = find(manifest->get_object(), "summary"))
        highest = std::max(highest, highest_number(*summary));
  for (const auto& entry : fs::directory_iterator(store / "artifacts", ec))
    for (auto& key : current_keys(store, entry.path().filename().string()))
      highest = std::max(highest, highest_number(json::value(key)));
  return highest;
}

struct SampleCall {
  RequestText request;
  std::string action, site;
  uint64_t session = 0;
};

uint64_t session_hash(const CallMeta& meta) {
  return meta.session.empty() ? fnv1a(as_text(meta.id.bytes), fnv1a("call")) : fnv1a(meta.session);
}

struct Outcome {  // of one call of a batch
  uint32_t centroid = 0;
  float similarity = 0;
  bool outlier = false;
  AnswerFacts facts;
};

class Run {
 public:
  Run(store::Store& store, const ClusterOptions& options) : store_(store), options_(options) {}
  Result<ClusterResult> run();

 private:
  Result<Manifest> plan();
  // False where there is one that can't be read, and options say to go on without.
  Result<bool> load_earlier();
  Status sample();
  Status fit();
  void number_tasks();
  void name_tasks();
  Status assign_all();
  Status finish();
  Status save();
  // Why a call isn't clustered, or "".
  std::string_view left_out(const CallMeta& meta) const {
    return meta.flags.failed ? "failed" : meta.flags.hci && !options_.with_hci ? "human_facing" : "";
  }
  // Scans curated calls; visit gets those that are clustered, with their meta.
  Status scan(const std::function<Status(CallMeta& meta, store::StoredCall& stored)>& visit);

  store::Store& store_;
  const ClusterOptions& options_;
  double began_s_ = 0;
  TaskRules rules_;
  score::PriceList prices_;
  Manifest manifest_;
  std::optional<LoadedTasks> before_;

  std::vector<SampleCall> sample_;
  std::shared_ptr<TaskMap::Impl> impl_ = std::make_shared<TaskMap::Impl>();
  std::vector<uint32_t> sample_labels_;  // centroid of each sampled call
  std::vector<std::string> names_;       // by centroid
  std::vector<TaskInfo> tasks_;
  std::vector<AssignedCall> calls_;
};

Status Run::scan(const std::function<Status(CallMeta& meta, store::StoredCall& stored)>& visit) {
  const store::ScanOptions options{.body = true, .purpose = std::string(kPurpose)};
  manifest_.n_in = 0;
  manifest_.dropped.clear();
  return store_.scan(store::Store::Space::kCurated, options, [&](store::StoredCall& stored) -> Result<bool> {
    SLM_CHECK(keep_going());
    SLM_TRY(const auto value, parse_json(stored.meta));
    SLM_TRY(auto meta, call_meta_from_json(value));
    meta.id = stored.id;
    ++manifest_.n_in;
    if (manifest_.n_in % 1000 == 0) options_.progress->advance(static_cast<uint64_t>(manifest_.n_in));
    if (const auto reason = left_out(meta); !reason.empty()) {
      ++manifest_.dropped[std::string(reason)];
      return true;
    }
    SLM_CHECK(visit(meta, stored));
    return true;
  });
}

Result<Manifest> Run::plan() {
  Manifest planned;
  planned.step = kStep;
  planned.seed = options_.seed;
  planned.config = {{"k", options_.k == 0 ? json::value("auto") : json::value(options_.k)},
                    {"sample", options_.n_sample},
                    {"with_hci", options_.with_hci},
                    {"embedder", "char_wb 3-5 tf-idf + truncated svd, 1"}};
  SLM_TRY(planned.inputs["curated"], scrub::curated_digest(store_, kPurpose));
  if (options_.tasks_file) {
    SLM_TRY(rules_, read_task_rules(*options_.tasks_file));
    SLM_TRY(const auto digest, sha256_file(*options_.tasks_file));
    planned.inputs["tasks.toml"] = to_hex(digest);
  }
  if (options_.prices) {
    SLM_TRY(prices_, score::read_prices(*options_.prices));
    SLM_TRY(const auto digest, sha256_file(*options_.prices));
    planned.inputs["prices"] = to_hex(digest);
  } else {
    SLM_TRY(prices_, score::default_prices());
  }
  return planned;
}

Result<bool> Run::load_earlier() {
  if (!current_artifact(store_.dir(), kStep)) return true;
  auto earlier = load_tasks(store_);
  if (earlier) {
    before_ = std::move(*earlier);
    return true;
  }
  if (!options_.anew || !is_unreadable(earlier.error().code)) return fail(std::move(earlier).error());
  impl_->next_task = highest_number(store_.dir()) + 1;
  options_.progress->warn(fmt::format("starting without the earlier task map ({}); new tasks are numbered from {}",
                                      earlier.error().message, task_id(impl_->next_task)));
  return false;
}

Status Run::sample() {
  options_.progress->start("sampling calls", 0);
  Prng prng(options_.seed);
  uint64_t n_seen = 0;
  SLM_CHECK(scan([&](CallMeta& meta, store::StoredCall& stored) -> Status {
    // Algorithm R (Vitter 1985).
    const uint64_t place = n_seen < options_.n_sample ? n_seen : prng.below(n_seen + 1);
    ++n_seen;
    if (place >= options_.n_sample) return {};
    SLM_TRY(const auto value, parse_json(stored.body));
    Call call;
    SLM_TRY(call.body, call_body_from_json(value));
    call.meta = std::move(meta);
    SampleCall out;
    out.request = read_request(request_of(call));
    out.action = action_of(call.body);
    out.site = call.meta.site;
    out.session = session_hash(call.meta);
    if (place < sample_.size())
      sample_[place] = std::move(out);
    else
      sample_.push_back(std::move(out));
    return {};
  }));
  options_.progress->finish();
  if (!sample_.empty()) return {};
  if (manifest_.n_in == 0) return fail(ErrorCode::kBadInput, "the store has no curated calls", "slmconv scrub");
  return fail(ErrorCode::kBadInput,
              fmt::format("none of {} curated calls is left: all failed or speak to a human", manifest_.n_in),
              "slmconv cluster --with-hci");
}

Status Run::fit() {
  options_.progress->note(fmt::format("fitting on {} calls", sample_.size()));
  std::vector<const RequestText*> requests;
  std::vector<std::string> actions;
  for (const auto& call : sample_) {
    requests.push_back(&call.request);
    actions.push_back(call.action);
  }
  FeatureOptions features;
  features.seed = options_.seed;
  auto fitted = Featuriser::fit(requests, features);
  SLM_CHECK(keep_going());  // rather than what was interrupted in there
  if (!fitted) return fail(std::move(fitted).error());
  impl_->features = std::move(*fitted);
  embed::DenseMatrix points(sample_.size(), impl_->features.width());
  const auto n = static_cast<int64_t>(sample_.size());
#pragma omp parallel for schedule(dynamic, 64)
  for (int64_t i = 0; i < n; ++i)
    impl_->features.embed(sample_[static_cast<size_t>(i)].request, points.row(static_cast<size_t>(i)));

  std::vector<uint32_t> earlier, old_labels;  // nearest old centroid; the same without outliers
  if (before_)
    for (const auto& call : sample_) {
      const auto hit = before_->map.impl().nearest(call.request);
      earlier.push_back(hit.centroid);
      old_labels.push_back(hit.outlier ? kNoOldTask : hit.centroid);
    }
  DiscoverOptions discovery;
  discovery.k = options_.k;
  discovery.seed = options_.seed;
  if (before_ && before_->map.impl().centroids.n_rows == options_.k) discovery.earlier = &earlier;
  SLM_TRY(auto found, discover(requests, actions, points, discovery));
  impl_->centroids = std::move(found.centroids);
  sample_labels_ = std::move(found.labels);

  // A call is an outlier where its similarity lies further below the task's 10th percentile than half again the
  // distance of that from the median, and by 0.05 at least: about one in a thousand of a normal task.
  const size_t k = impl_->centroids.n_rows;
  std::vector<std::vector<float>> similarities(k);
  for (size_t i = 0; i < sample_labels_.size(); ++i) similarities[sample_labels_[i]].push_back(found.similarities[i]);
  for (auto& values : similarities) {
    if (values.empty()) {
      impl_->outlier_below.push_back(-2.0f);
      continue;
    }
    std::sort(values.begin(), values.end());
    const float low = values[values.size() / 10], middle = values[values.size() / 2];
    impl_->outlier_below.push_back(low - std::max(0.05f, 1.5f * (middle - low)));
  }

  // Permanent numbers: continued from the earlier map, new ones by size.
  impl_->numbers.assign(k, 0);
  std::vector<size_t> sizes(k, 0);
  for (const auto label : sample_labels_) ++sizes[label];
  json::array born, split, merged, retired;
  if (before_) {
    const auto& old = before_->map.impl();
    impl_->next_task = old.next_task;
    const auto lineage = trace_lineage(old_labels, old.centroids.n_rows, sample_labels_, k);
    for (size_t c = 0; c < k; ++c)
      if (lineage.origins[c].old_task >= 0)
        impl_->numbers[c] = old.numbers[static_cast<size_t>(lineage.origins[c].old_task)];
    std::vector<size_t> order(k);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
    for (const size_t c : order) {
      if (impl_->numbers[c] != 0) continue;
      impl_->numbers[c] = impl_->next_task++;
      const auto from = lineage.origins[c].split_from;
      if (from >= 0)
        split.push_back(json::object{{"task", task_id(impl_->numbers[c])},
                                     {"from", task_id(old.numbers[static_cast<size_t>(from)])}});
      else
        born.push_back(json::value(task_id(impl_->numbers[c])));
    }
    for (size_t c = 0; c < old.centroids.n_rows; ++c) {
      const auto& fate = lineage.fates[c];
      if (fate.new_task >= 0) continue;
      if (fate.merged_into >= 0)
        merged.push_back(json::object{{"task", task_id(old.numbers[c])},
                                      {"into", task_id(impl_->numbers[static_cast<size_t>(fate.merged_into)])}});
      else
        retired.push_back(json::value(task_id(old.numbers[c])));
    }
  } else {
    std::vector<size_t> order(k);
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return sizes[a] > sizes[b]; });
    for (const size_t c : order) {
      impl_->numbers[c] = impl_->next_task++;
      born.push_back(json::value(task_id(impl_->numbers[c])));
    }
  }
  manifest_.summary["lineage"] = json::object{{"born", std::move(born)},
                                              {"split", std::move(split)},
                                              {"merged", std::move(merged)},
                                              {"retired", std::move(retired)}};
  return {};
}

// Tasks are the centroids' numbers, less those that a person merged away.
void Run::number_tasks() {
  const size_t k = impl_->centroids.n_rows;
  std::set<std::string> known;
  for (const auto number : impl_->numbers) known.insert(task_id(number));
  std::vector<std::string> id_of(k);
  for (const auto& [id, rule] : rules_) {
    if (!known.contains(id))
      options_.progress->warn(fmt::format("tasks file: there is no task {} (any more)", id));
    else if (!rule.merge.empty() && !known.contains(rule.merge))
      options_.progress->warn(
          fmt::format("tasks file: {} can't be merged into {}: no such task (any more)", id, rule.merge));
  }
  std::map<std::pair<size_t, std::string>, size_t> ids;  // by length, then text: t100 after t99
  for (size_t c = 0; c < k; ++c) {
    id_of[c] = task_id(impl_->numbers[c]);
    if (const auto rule = rules_.find(id_of[c]); rule != rules_.end() && known.contains(rule->second.merge))
      id_of[c] = rule->second.merge;
    ids.emplace(std::pair{id_of[c].size(), id_of[c]}, 0);
  }
  for (auto& [key, index] : ids) {
    index = tasks_.size();
    TaskInfo task;
    task.id = TaskId{key.second};
    if (const auto rule = rules_.find(key.second); rule != rules_.end()) task.excluded = rule->second.exclude;
    tasks_.push_back(std::move(task));
  }
  for (size_t c = 0; c < k; ++c) impl_->task_of.push_back(static_cast<uint32_t>(ids.at({id_of[c].size(), id_of[c]})));
}

void Run::name_tasks() {
  NameMaker maker(tasks_.size());
  for (size_t i = 0; i < sample_.size(); ++i) {
    const auto& call = sample_[i];
    std::string text = call.request.system + '\n' + call.request.delta;
    if (call.action.starts_with("tool ")) (text += '\n') += call.action.substr(5);
    maker.add(impl_->task_of[sample_labels_[i]], call.session, text, call.site);
  }
  names_ = maker.names();
}

Status Run::assign_all() {
  options_.progress->start("assigning calls", static_cast<uint64_t>(manifest_.n_in));
  std::vector<TaskTotals> totals(tasks_.size());
  std::vector<AnswerProfile> profiles(tasks_.size());
  std::vector<double> priced_cost(tasks_.size(), 0), weighted_cost(tasks_.size(), 0);
  bool all_priced = true;
  std::vector<Call> batch;
  std::vector<Outcome> outcomes;
  const auto assign_batch = [&] {
    outcomes.assign(batch.size(), {});
    const auto n = static_cast<int64_t>(batch.size());
#pragma omp parallel for schedule(dynamic, 16)
    for (int64_t i = 0; i < n; ++i) {
      const auto& call = batch[static_cast<size_t>(i)];
      auto& outcome = outcomes[static_cast<size_t>(i)];
      const auto hit = impl_->nearest(read_request(request_of(call)));
      outcome = {hit.centroid, hit.similarity, hit.outlier, facts_of(call)};
    }
    for (size_t i = 0; i < batch.size(); ++i) {
      const auto& meta = batch[i].meta;
      const auto& outcome = outcomes[i];
      const uint32_t t = impl_->task_of[outcome.centroid];
      auto& task = tasks_[t];
      task.n_outliers += outcome.outlier;
      task.cohesion += outcome.similarity;
      const double weighted = outcome.facts.n_in + kUnpricedOutRatio * outcome.facts.n_out;
      if (const auto* price = prices_.find(meta.model))
        priced_cost[t] +=
            score::cost_usd(*price, {outcome.facts.n_in, outcome.facts.n_out, meta.usage.n_cached.value_or(0)});
      else
        all_priced = false;
      weighted_cost[t] += weighted;
      profiles[t].add(outcome.facts);
      totals[t].add(outcome.facts, session_hash(meta), meta.model);
      calls_.push_back({meta.id, static_cast<uint16_t>(t), outcome.outlier});
    }
    batch.clear();
  };
  SLM_CHECK(scan([&](CallMeta& meta, store::StoredCall& stored) -> Status {
    SLM_TRY(const auto value, parse_json(stored.body));
    Call call;
    SLM_TRY(call.body, call_body_from_json(value));
    call.meta = std::move(meta);
    batch.push_back(std::move(call));
    if (batch.size() == kBatch) assign_batch();
    return {};
  }));
  assign_batch();
  options_.progress->finish();
  manifest_.n_out = static_cast<int64_t>(calls_.size());

  const auto& costs = all_priced ? priced_cost : weighted_cost;
  const double total_cost = std::accumulate(costs.begin(), costs.end(), 0.0);
  double total_tokens = 0;
  for (size_t t = 0; t < tasks_.size(); ++t) {
    auto& task = tasks_[t];
    totals[t].fill(task);
    task.kind = profiles[t].kind();
    if (task.n_calls > 0) task.cohesion = std::clamp(task.cohesion / static_cast<double>(task.n_calls), 0.0, 1.0);
    task.call_share = static_cast<double>(task.n_calls) / static_cast<double>(calls_.size());
    task.cost_share = total_cost > 0 ? costs[t] / total_cost : 0;
    total_tokens += static_cast<double>(task.n_in_tokens + task.n_out_tokens);
  }
  for (auto& task : tasks_)
    task.token_share = total_tokens > 0 ? static_cast<double>(task.n_in_tokens + task.n_out_tokens) / total_tokens : 0;
  manifest_.summary["priced"] = all_priced;
  return {};
}

Status Run::finish() {
  // Names: a person's, else the earlier map's, else from words; every name once.
  std::set<std::string> taken;
  const auto old_name = [&](const TaskInfo& task) -> std::string {
    const auto* old = before_ ? before_->map.find(task.id) : nullptr;
    return old == nullptr || old->name.ends_with('-' + task.id.value) ? std::string() : old->name;
  };
  for (size_t t = 0; t < tasks_.size(); ++t) {
    auto& task = tasks_[t];
    if (const auto rule = rules_.find(task.id.value); rule != rules_.end()) task.name = rule->second.name;
    if (task.name.empty()) task.name = old_name(task);
    if (task.name.empty()) task.name = names_[t];
    if (task.name.empty()) {
      task.name = fmt::format("{}-{}", score::kind_name(task.kind), task.id.value);
      std::replace(task.name.begin(), task.name.end(), '_', '-');
    }
    if (!taken.insert(task.name).second) {
      task.name += '-' + task.id.value;
      taken.insert(task.name);
    }
  }
  // Six decimals: enough for people, and what JSON parsers give back to the last bit.
  const auto rounded = [](double ratio) { return std::round(ratio * 1e6) / 1e6; };
  int64_t n_outliers = 0;
  for (auto& task : tasks_) {
    n_outliers += task.n_outliers;
    for (double* ratio : {&task.call_share, &task.token_share, &task.cost_share, &task.cohesion})
      *ratio = rounded(*ratio);
  }
  manifest_.summary["n_tasks"] = tasks_.size();
  manifest_.summary["n_sample"] = sample_.size();
  manifest_.summary["n_outliers"] = n_outliers;
  manifest_.summary["tasks"] = tasks_to_json(tasks_);
  return save();
}

Status Run::save() {
  const TaskMap map(impl_, tasks_);
  const auto map_bytes = map.serialise(), call_bytes = serialise_calls(calls_);
  manifest_.outputs[std::string(kMapFile)] = to_hex(sha256(map_bytes));
  manifest_.outputs[std::string(kCallsFile)] = to_hex(sha256(call_bytes));
  manifest_.id = manifest_.digest().substr(0, 16);
  manifest_.made_ms = options_.clock->now_ms();
  manifest_.seconds = options_.clock->monotonic_s() - began_s_;
  const auto dir = artifact_dir(store_.dir(), kStep, manifest_.id);
  std::error_code ec;
  if (!fs::exists(dir / "manifest.json", ec)) {
    SLM_TRY(auto staged, StagedDir::create(dir));
    SLM_CHECK(store_.seal_file(staged.path() / kMapFile, sealed_name(manifest_.id, kMapFile), map_bytes));
    SLM_CHECK(store_.seal_file(staged.path() / kCallsFile, sealed_name(manifest_.id, kCallsFile), call_bytes));
    SLM_CHECK(write_manifest(staged.path(), manifest_));
    SLM_CHECK(staged.commit());
  }
  return set_current(store_.dir(), kStep, manifest_.id);
}

Result<ClusterResult> Run::run() {
  began_s_ = options_.clock->monotonic_s();
  if (options_.k > kMaxTasks)
    return fail(ErrorCode::kUsage, fmt::format("--k {}: at most {} tasks", options_.k, kMaxTasks));
  if (options_.n_sample == 0) return fail(ErrorCode::kUsage, "a sample of 0 calls: need at least 1");
  SLM_TRY(manifest_, plan());
  bool readable = true;
  if (options_.anew) {
    SLM_TRY(readable, load_earlier());
  }
  if (auto same = unchanged(store_.dir(), manifest_); same && readable) {
    SLM_TRY(auto tasks, task_list(store_.dir()));
    return ClusterResult{std::move(*same), std::move(tasks), false};
  }
  if (!options_.anew) SLM_CHECK(load_earlier());
  SLM_CHECK(sample());
  SLM_CHECK(fit());
  number_tasks();
  name_tasks();
  SLM_CHECK(assign_all());
  SLM_CHECK(finish());
  return ClusterResult{std::move(manifest_), std::move(tasks_), true};
}

}  // namespace

Result<ClusterResult> run_cluster(store::Store& store, const ClusterOptions& options) {
  return Run(store, options).run();
}

}  // namespace slm::cluster

#include "scrub/scrub.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <utility>

#include "core/file.h"
#include "core/hash.h"
#include "schema/artifacts.h"
#include "scrub/conversations.h"
#include "scrub/dedupe.h"
#include "scrub/fields.h"
#include "scrub/filter/filter.h"
#include "scrub/gate.h"
#include "scrub/logprobs.h"
#include "scrub/public_phrases.h"
#include "scrub/replace/text_scrubber.h"
#include "scrub/sessions.h"

namespace slm::scrub {

namespace {

using dataset::Side;
using store::Store;
using store::StoredCall;

constexpr uint8_t kKeep = 0;
constexpr std::string_view kNotScanned = "not_scanned";  // a pattern gave up
constexpr std::string_view kFilePlaceholder = "[FILE]";

// What a raw call is before and after scrubbing, for the passes.
struct Scrubbed {
  std::string input, answer;  // typed placeholders: last input delta and answer
};

class Run {
 public:
  Run(Store& store, const ScrubOptions& options) : store_(store), options_(options), dedupe_(options.near) {}

  Result<ScrubResult> run();

 private:
  Status open();
  Status read_curated();
  Result<Manifest> plan();
  Status learn();
  Status decide();
  Status append();
  Result<ScrubResult> finish(Manifest manifest);
  ScrubResult nothing_new(const Manifest& manifest, Report report) const;

  using RawVisitor = std::function<Status(int64_t index, StoredCall& stored, Call& call)>;
  Status each_raw(std::string_view purpose, const RawVisitor& visit);
  void name_session(int64_t index, Call& call);
  Scope scope_of(uint32_t session, std::string_view name);
  Status scrub_body(Call& call, uint32_t session, Scrubbed* typed);
  Status decide_one(int64_t index, Call& call);
  uint8_t reason_number(std::string_view reason);
  Result<Side> side_of(uint32_t group);

  Store& store_;
  const ScrubOptions& options_;
  std::optional<Detector> detector_;
  std::optional<TextScrubber> scrubber_;
  std::optional<Gate> gate_;
  Ledger ledger_;
  Dedupe dedupe_;
  Sessions sessions_;
  // Calls without a session have that of their conversation, found when they are first read.
  Conversations conversations_;
  std::vector<uint32_t> first_of_;  // by raw call, where any has no session: the first of its conversation
  std::vector<CallId> ids_;         // by raw call
  std::vector<bool> goes_on_;       // by raw call
  std::unordered_set<CallId> curated_;
  std::vector<KnownList> known_;        // by session
  std::optional<KnownValues> at_hand_;  // of the session at hand
  uint32_t session_at_hand_ = 0;
  int64_t n_raw_ = 0;
  std::vector<uint8_t> decisions_;  // by raw call: kKeep or the number of a reason
  std::vector<std::string> reasons_{""};
  Dedupe::Merged merged_;
  std::vector<char> leaves_test_;  // by group
  Counts found_;
  Report report_;
  int64_t n_added_ = 0;
  int64_t n_files_ = 0;  // taken out of the call at hand
  bool lost_logprobs_ = false;
  double began_s_ = 0;
};

Status Run::open() {
  SLM_TRY(Detector detector, Detector::create(options_.rules.user, std::vector<bool>(kNumBuiltinTypes, true)));
  detector_.emplace(std::move(detector));
  scrubber_.emplace(
      options_.rules, *detector_, [this](std::string_view input) { return store_.surrogate_bytes(input); }, ledger_);
  if (options_.answer_key) {
    SLM_TRY(Gate gate, Gate::read(*options_.answer_key));
    gate_.emplace(std::move(gate));
  }
  return {};
}

Status Run::read_curated() {
  const auto visit = [&](StoredCall& stored) -> Result<bool> {
    SLM_TRY(const json::value value, parse_json(stored.meta));
    SLM_TRY(const CallMeta meta, call_meta_from_json(value));
    const auto side = dataset::parse_side(meta.split);
    if (!side)
      return fail(ErrorCode::kIntegrity, fmt::format("curated call {} has no side of the split", meta.id.hex()));
    sessions_.fix(meta, *side);
    curated_.insert(stored.id);
    return true;
  };
  return store_.scan(Store::Space::kCurated, {.purpose = "scrub: what is curated"}, visit);
}

Result<Manifest> Run::plan() {
  Sha256 hash;
  const auto visit = [&](StoredCall& stored) -> Result<bool> {
    hash.update(ByteSpan(stored.id.bytes));
    hash.update(ByteSpan(sha256(as_bytes(stored.meta))));
    ++n_raw_;
    return true;
  };
  SLM_CHECK(store_.scan(Store::Space::kRaw, {.purpose = "scrub: what is new"}, visit));
  Manifest manifest;
  manifest.step = kStep;
  manifest.config = options_.rules.to_json();
  manifest.config["validation"] = options_.validation;
  manifest.config["test"] = options_.test;
  manifest.config["keep_duplicates"] = options_.keep_duplicates;
  manifest.config["no_hci"] = options_.no_hci;
  manifest.config["near"] = options_.near;
  SLM_TRY(manifest.inputs["raw"], store_.keyed_digest("raw\n" + to_hex(hash.finish())));
  if (options_.answer_key) {
    SLM_TRY(const Digest key, sha256_file(*options_.answer_key));
    manifest.inputs["answer_key"] = to_hex(key);
    json::object bounds;
    bounds["recall"] = options_.rules.gate.recall;
    bounds["false_positives"] = options_.rules.gate.false_positives;
    for (const auto& [type, bound] : options_.rules.gate_of) bounds[type] = {bound.recall, bound.false_positives};
    manifest.config["gate"] = std::move(bounds);
  }
  return manifest;
}

// The first call of a conversation names it: by its id, which is also its session's name where nothing goes on.
void Run::name_session(int64_t index, Call& call) {
  if (!call.meta.session.empty()) return;
  constexpr uint32_t kUnread = std::numeric_limits<uint32_t>::max();
  const auto at = static_cast<size_t>(index);
  if (first_of_.empty()) {
    first_of_.assign(static_cast<size_t>(n_raw_), kUnread);
    ids_.resize(first_of_.size());
    goes_on_.resize(first_of_.size());
  }
  if (first_of_[at] == kUnread) {
    first_of_[at] = conversations_.add(call, static_cast<uint32_t>(index));
    ids_[at] = call.meta.id;
    if (first_of_[at] != at) goes_on_[first_of_[at]] = true;
  }
  if (const size_t first = first_of_[at]; goes_on_[first]) call.meta.session = ids_[first].hex();
}

// Calls that were committed after plan() wait for the next run.
Status Run::each_raw(std::string_view purpose, const RawVisitor& visit) {
  options_.progress->start(purpose, static_cast<uint64_t>(n_raw_));
  int64_t index = 0;
  const auto one = [&](StoredCall& stored) -> Result<bool> {
    if (index == n_raw_) return false;
    if (interrupted())
      return fail(ErrorCode::kInterrupted, fmt::format("interrupted at call {} of {}", index, n_raw_), "slmconv scrub");
    SLM_TRY(const json::value meta, parse_json(stored.meta));
    SLM_TRY(const json::value body, parse_json(stored.body));
    Call call;
    SLM_TRY(call.meta, call_meta_from_json(meta));
    SLM_TRY(call.body, call_body_from_json(body));
    call.meta.id = stored.id;
    name_session(index, call);
    SLM_CHECK(visit(index, stored, call));
    if (++index % 256 == 0) options_.progress->advance(static_cast<uint64_t>(index));
    return true;
  };
  SLM_CHECK(store_.scan(Store::Space::kRaw, {.body = true, .purpose = fmt::format("scrub: {}", purpose)}, one));
  options_.progress->finish();
  if (index != n_raw_)
    return fail(ErrorCode::kIntegrity, fmt::format("{} raw calls at first, {} now", n_raw_, index),
                "slmconv store verify");
  return {};
}

Status Run::learn() {
  PublicPhrases shared;
  const auto one = [&](int64_t, StoredCall&, Call& call) -> Status {
    const uint32_t session = sessions_.place(call.meta).session;
    shared.add(call.body, session);
    if (known_.size() <= session) known_.resize(session + 1);
    KnownList& known = known_[session];
    const FieldVisitor visit = [&](const Field& field, std::string_view text) -> Result<std::optional<std::string>> {
      if (field.kind == FieldKind::kText) scrubber_->learn(text, field.label, known);
      return std::nullopt;
    };
    return visit_fields(call.body, visit);
  };
  SLM_CHECK(each_raw("names", one));
  scrubber_->set_public_phrases(shared.phrases());
  return {};
}

Scope Run::scope_of(uint32_t session, std::string_view name) {
  if (known_[session].empty()) return {name, nullptr};
  if (!at_hand_ || session_at_hand_ != session) {
    at_hand_ = scrubber_->known_values(known_[session]);
    session_at_hand_ = session;
  }
  return {name, &*at_hand_};
}

// Replaces everything in the body. With `typed`, also gives what duplicates are compared by and tells the gate.
Status Run::scrub_body(Call& call, uint32_t session, Scrubbed* typed) {
  const std::string name = session_of(call.meta);
  const Scope scope = scope_of(session, name);
  const std::function<void(const Seen&)> see = [&](const Seen& seen) {
    if (options_.rules.action(seen.type) != Action::kNone)
      gate_->found(options_.rules.type_name(seen.type), seen.value);
  };
  const std::function<bool(std::string_view)> is_code = [&](std::string_view key) {
    return is_property(call.body, key);
  };
  TextScrubber::Options how;
  how.typed = typed != nullptr;
  how.is_code = &is_code;
  const bool gated = typed != nullptr && gate_;
  how.see = gated ? &see : nullptr;
  // The last messages and the first answer go into the comparison, the rest of the body doesn't.
  const size_t n_messages = call.body.messages.size();
  const size_t first = n_messages - std::min(n_messages, last_input_delta(call.body.messages).size());
  const auto sink_of = [&](const Field& field) -> std::string* {
    if (typed == nullptr || field.kind == FieldKind::kKey) return nullptr;
    if (field.place == Place::kRequest) return field.index >= first ? &typed->input : nullptr;
    return field.place == Place::kAnswer && field.index == 0 ? &typed->answer : nullptr;
  };
  std::vector<size_t> changed_answers;
  const FieldVisitor visit = [&](const Field& field, std::string_view text) -> Result<std::optional<std::string>> {
    if (field.kind == FieldKind::kFile) {
      n_files_ += 1;
      if (std::string* sink = sink_of(field)) sink->append(sha256_hex(text)).push_back('\n');
      return std::string(kFilePlaceholder);
    }
    SLM_TRY(ScrubbedText out, field.kind == FieldKind::kKey ? scrubber_->scrub_key(text, scope, how)
                                                            : scrubber_->scrub(text, field.label, scope, how));
    if (std::string* sink = sink_of(field))
      sink->append(out.typed.empty() ? text : std::string_view(out.typed)).push_back('\n');
    if (!out.changed) return std::nullopt;
    if (field.place == Place::kAnswer) changed_answers.push_back(field.index);
    return std::move(out.text);
  };
  if (gated) gate_->before(json::serialize(to_json(call.body)));
  n_files_ = 0;
  if (typed != nullptr)
    if (const auto* answer = answer_of(call.body)) typed->answer = first_tool(*answer) + "\n";
  SLM_CHECK(visit_fields(call.body, visit));
  SLM_TRY(lost_logprobs_, scrub_logprobs(call.body.choices, changed_answers,
                                         [&](std::string_view text) { return scrubber_->would_change(text, scope); }));
  if (gated) gate_->after(json::serialize(to_json(call.body)));
  return {};
}

uint8_t Run::reason_number(std::string_view reason) {
  const auto at = std::find(reasons_.begin(), reasons_.end(), reason);
  if (at == reasons_.end()) {
    reasons_.emplace_back(reason);
    return static_cast<uint8_t>(reasons_.size() - 1);
  }
  return static_cast<uint8_t>(at - reasons_.begin());
}

Status Run::decide_one(int64_t index, Call& call) {
  const bool is_curated = curated_.contains(call.meta.id);
  const std::string_view reason = drop_reason(call, {.no_hci = options_.no_hci});
  if (!reason.empty() && !is_curated) {
    decisions_[static_cast<size_t>(index)] = reason_number(reason);
    return {};
  }
  const Sessions::Place place = sessions_.place(call.meta);
  uint64_t exact = 0;
  const Digest canonical = sha256(as_bytes(canonical_text(call.body)));
  exact = get_u64(canonical.data());
  const std::string site = template_signature(call.body.messages) + tool_signature(call.body.tools);
  scrubber_->reset_counts();
  Scrubbed typed;
  SLM_CHECK(scrub_body(call, place.session, &typed));
  if (scrubber_->gave_up() && !is_curated) {
    decisions_[static_cast<size_t>(index)] = reason_number(kNotScanned);
    if (gate_) gate_->end_call(false);
    return {};
  }
  const Sketch sketch = make_sketch(site, typed.input, typed.answer);
  const Dedupe::Verdict verdict = dedupe_.add({exact, &sketch, place.session, place.group});
  const bool repeated = verdict != Dedupe::Verdict::kNew && !options_.keep_duplicates && !is_curated;
  if (repeated)
    decisions_[static_cast<size_t>(index)] =
        reason_number(verdict == Dedupe::Verdict::kExact ? "exact_duplicate" : "near_duplicate");
  if (!repeated) {
    found_.add(scrubber_->counts());
    report_.n_files += n_files_;
    report_.n_logprobs_dropped += lost_logprobs_ ? 1 : 0;
  }
  if (gate_) gate_->end_call(!repeated);
  return {};
}

Status Run::decide() {
  decisions_.assign(static_cast<size_t>(n_raw_), kKeep);
  SLM_CHECK(each_raw("scrub", [&](int64_t index, StoredCall&, Call& call) { return decide_one(index, call); }));
  merged_ = dedupe_.merge(sessions_.fixed());
  dedupe_ = Dedupe(options_.near);  // 0.3 KB a kept call that nothing needs from here on
  merged_.group.resize(sessions_.n_groups());
  leaves_test_.assign(sessions_.n_groups(), 0);
  for (const auto& [a, b] : merged_.late_links) {
    if (*sessions_.side(a) == *sessions_.side(b)) continue;
    for (const uint32_t group : {a, b})
      if (*sessions_.side(group) == Side::kTest) leaves_test_[group] = 1;
  }
  if (gate_) {
    report_.gate = gate_->rows(options_.rules);
    report_.n_unmeasured = gate_->n_unmeasured();
  }
  return {};
}

Result<Side> Run::side_of(uint32_t group) {
  if (const auto side = sessions_.side(group)) return *side;
  SLM_TRY(const double point, store_.split_point(sessions_.name(group)));
  return point < options_.test                         ? Side::kTest
         : point < options_.test + options_.validation ? Side::kValidation
                                                       : Side::kTrain;
}

Status Run::append() {
  SLM_TRY(auto appender, store_.append(Store::Space::kCurated));
  std::vector<char> group_seen(sessions_.n_groups());
  const auto visit = [&](int64_t index, StoredCall& stored, Call& call) -> Status {
    uint8_t& decision = decisions_[static_cast<size_t>(index)];
    const Sessions::Place place = sessions_.place(call.meta);
    const uint32_t group = merged_.group[place.group];
    const bool is_curated = curated_.contains(stored.id);
    if (decision == kKeep && !is_curated && leaves_test_[group]) decision = reason_number("linked_across_sides");
    if (decision != kKeep) {
      ++report_.dropped[reasons_[decision]];
      return {};
    }
    ++report_.n_out;
    SLM_TRY(const Side side, side_of(group));
    ++report_.split_calls[std::string(dataset::side_name(side))];
    if (!std::exchange(group_seen[group], 1)) {
      ++report_.split_groups[std::string(dataset::side_name(side))];
      ++report_.n_groups;
    }
    if (is_curated) return {};
    SLM_CHECK(scrub_body(call, place.session, nullptr));
    call.meta.split = dataset::side_name(side);
    call.meta.raw_group = stored.group;
    if (dataset::group_of(call.meta) != sessions_.name(group)) call.meta.group = sessions_.name(group);
    store::NewCall fresh;
    fresh.id = stored.id;
    fresh.tag = stored.tag;
    fresh.source = stored.source;
    fresh.meta = canonical_json(to_json(call.meta));
    fresh.body = canonical_json(to_json(call.body));
    fresh.raw_group = stored.group;
    SLM_TRY(const bool added, appender->add(std::move(fresh)));
    n_added_ += added ? 1 : 0;
    return {};
  };
  SLM_CHECK(each_raw("append", visit));
  return appender->flush();
}

ScrubResult Run::nothing_new(const Manifest& manifest, Report report) const {
  ScrubResult out;
  out.report = std::move(report);
  out.artifact = manifest.id;
  return out;
}

Result<ScrubResult> Run::finish(Manifest manifest) {
  report_.n_in = n_raw_;
  report_.n_sessions = sessions_.n_sessions();
  for (uint32_t g = 0; g < sessions_.n_groups(); ++g) {
    report_.n_merged_groups += merged_.group[g] != g ? 1 : 0;
    if (leaves_test_[g]) report_.linked_groups.push_back(sessions_.name(g));
  }
  std::sort(report_.linked_groups.begin(), report_.linked_groups.end());
  report_.n_over_limit = detector_->n_over_limit();
  found_.by_type.resize(options_.rules.n_types());
  for (size_t t = 0; t < found_.by_type.size(); ++t)
    report_.found[std::string(options_.rules.type_name(static_cast<TypeIndex>(t)))] = found_.by_type[t];
  for (size_t a = 0; a < found_.by_action.size(); ++a)
    report_.actions[std::string(kActionNames[a])] = found_.by_action[a];

  const std::string text = pretty_json(to_json(report_));
  manifest.n_in = report_.n_in;
  manifest.n_out = report_.n_out;
  manifest.dropped = report_.dropped;
  json::object found, sides;
  for (const auto& [type, n] : report_.found) found[type] = n;
  for (const auto& [side, n] : report_.split_calls) sides[side] = n;
  manifest.summary["found"] = std::move(found);
  manifest.summary["split_calls"] = std::move(sides);
  manifest.outputs["report.json"] = sha256_hex(text);
  SLM_TRY(manifest.outputs["curated"], curated_digest(store_, "scrub: digest"));
  manifest.id = manifest.digest().substr(0, 16);
  manifest.made_ms = options_.clock->now_ms();
  manifest.seconds = options_.clock->monotonic_s() - began_s_;

  ScrubResult out;
  out.seconds = manifest.seconds;
  const std::filesystem::path dir = artifact_dir(store_.dir(), kStep, manifest.id);
  std::error_code ec;
  if (!std::filesystem::exists(dir / "manifest.json", ec)) {
    SLM_TRY(StagedDir staged, StagedDir::create(dir));
    SLM_CHECK(write_file_atomic(staged.path() / "report.json", text));
    SLM_CHECK(write_manifest(staged.path(), manifest));
    SLM_CHECK(staged.commit());
  }
  SLM_CHECK(set_current(store_.dir(), kStep, manifest.id));
  out.report = std::move(report_);
  out.artifact = manifest.id;
  out.changed = true;
  out.n_added = n_added_;
  return out;
}

Result<ScrubResult> Run::run() {
  began_s_ = options_.clock->monotonic_s();
  SLM_CHECK(open());
  SLM_TRY(Manifest planned, plan());
  if (const auto same = unchanged(store_.dir(), planned)) {
    SLM_TRY(Report report, load_report(store_.dir()));
    return nothing_new(*same, std::move(report));
  }
  if (n_raw_ == 0) return ScrubResult{};
  SLM_CHECK(read_curated());
  int64_t n_other = 0;
  if (const auto before = read_current(store_.dir(), kStep); before && before->config != planned.config)
    n_other = static_cast<int64_t>(curated_.size());
  SLM_CHECK(learn());
  SLM_CHECK(decide());
  if (gate_) {
    ScrubResult stopped;
    stopped.gate_failures = gate_failures(report_.gate);
    if (!stopped.gate_failures.empty()) {
      stopped.report = std::move(report_);
      stopped.report.n_in = n_raw_;
      stopped.report.dropped = {{"privacy_gate", n_raw_}};
      return stopped;
    }
  }
  SLM_CHECK(append());
  SLM_TRY(ScrubResult out, finish(std::move(planned)));
  out.n_other_rules = n_other;
  return out;
}

}  // namespace

Result<ScrubResult> run_scrub(store::Store& store, const ScrubOptions& options) {
  if (!(options.validation >= 0 && options.test >= 0 && options.validation + options.test < 1))
    return fail(ErrorCode::kUsage, fmt::format("--validation {} and --test {}: both at least 0, together below 1",
                                               options.validation, options.test));
  if (options.clock == nullptr) return fail(ErrorCode::kUnexpected, "scrub needs a clock");
  return Run(store, options).run();
}

}  // namespace slm::scrub

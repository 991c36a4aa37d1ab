#include "collect/importer.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "call/dialects/dialect.h"
#include "collect/compressed.h"
#include "collect/write_queue.h"
#include "core/utf8.h"
#include "schema/json.h"

namespace slm::collect {

namespace {

using dialects::Dialect;
using dialects::LoggedCall;

// A stored body is a few levels deeper than the record it came from, and must stay within parse_json's own bound, which
// every reader of it uses.
constexpr unsigned kMaxDepth = 96;

void add_tally(std::map<std::string, Tally>& tallies, const std::string& name, const CallMeta& meta) {
  const bool room = tallies.size() < kMaxTallies || tallies.contains(name);
  Tally& tally = tallies[room ? name : "(others)"];
  tally.n_calls += 1;
  tally.n_hci += meta.flags.hci;
  tally.n_failed += meta.flags.failed;
  tally.n_in += meta.usage.n_in.value_or(0);
  tally.n_out += meta.usage.n_out.value_or(0);
}

class Importer final : public dialects::CallSink {
 public:
  Importer(const ImportOptions& options, const ImportTools& tools)
      : options_(options), tools_(tools), progress_(tools.progress != nullptr ? *tools.progress : null_progress()) {}

  Result<Report> run(const std::vector<Input>& inputs);

  bool call(const LoggedCall& logged) override;
  void skip(std::string_view reason) override {
    report_.n_excluded += 1;
    count_drop(reason);
  }

 private:
  Status read_input(const Input& input);
  Status read_records(const Input& input, DecodedSource& source);
  void finish_joined();
  void read_record(const Input& input, const RecordReader::Record& record);
  void read_value(const Input& input, int64_t line, json::value& value);
  void bad_record(const Input& input, int64_t line, std::string_view reason, std::string_view detail = {});
  void count_drop(std::string_view reason) { report_.dropped[std::string(reason)] += 1; }
  void count_call(const LoggedCall& logged);

  const ImportOptions& options_;
  const ImportTools& tools_;
  Progress& progress_;
  const Dialect* forced_ = nullptr;
  const Dialect* dialect_ = nullptr;                                           // of the record being read
  std::map<const Dialect*, std::unique_ptr<dialects::RecordJoiner>> joiners_;  // of the input being read
  std::unique_ptr<WriteQueue> writer_;
  Report report_;
  Status status_;  // what stopped call()
};

Result<Report> Importer::run(const std::vector<Input>& inputs) {
  if (!options_.format.empty()) {
    forced_ = dialects::by_name(options_.format);
    if (forced_ == nullptr) {
      std::string names;
      for (const auto& dialect : dialects::all()) names += fmt::format("{}{}", names.empty() ? "" : ", ", dialect.name);
      return fail(ErrorCode::kUsage, fmt::format("unknown format \"{}\"; known: {}", options_.format, names));
    }
  }
  if (tools_.store != nullptr) {
    SLM_TRY(writer_, WriteQueue::open(*tools_.store, {.batch_calls = options_.batch_calls}));
  }
  uint64_t total = 0;
  for (const auto& input : inputs) total += input.n_bytes;
  progress_.start("reading logs", total);
  Status status;
  for (const auto& input : inputs) {
    status = read_input(input);
    if (!status) break;
  }
  // What was read before an interruption or a damaged disk is good.
  if (writer_ != nullptr) {
    if (auto written = writer_->finish(); !written) status = status_ = std::move(written);
    // Only now is known what another import stored meanwhile.
    report_.n_added = writer_->n_added();
    if (writer_->n_known() > 0) report_.dropped["already_stored"] = writer_->n_known();
    if (writer_->n_erased() > 0) report_.dropped["erased_source"] = writer_->n_erased();
  }
  progress_.finish();
  if (!status && status.error().code == ErrorCode::kInterrupted)
    return fail(ErrorCode::kInterrupted,
                fmt::format("interrupted after {} records; {} calls were stored and stay", report_.n_records,
                            writer_ != nullptr ? writer_->n_added() : 0),
                "give the same command again: what is stored is passed over");
  if (!status && status_ && writer_ != nullptr && writer_->n_added() > 0)
    status.error().message += fmt::format("; {} calls read before were stored and stay", writer_->n_added());
  SLM_CHECK(std::move(status));

  if (report_.n_bad > options_.n_warnings)
    progress_.warn(fmt::format("{} further records could not be read", report_.n_bad - options_.n_warnings));
  if (report_.n_records == 0)
    return fail(ErrorCode::kBadInput,
                fmt::format("the log is empty: no record in {} file{} ({} bytes)", report_.n_files,
                            report_.n_files == 1 ? "" : "s", report_.n_bytes),
                "give a file of calls, one JSON record a line: slmconv collect LOG.jsonl");
  if (report_.n_bad == report_.n_records) {
    std::string reasons;
    for (const auto& [reason, n] : report_.dropped)
      reasons += fmt::format("{}{} {}", reasons.empty() ? "" : ", ", n, reason);
    return fail(ErrorCode::kBadInput, fmt::format("none of {} records could be read ({})", report_.n_records, reasons),
                "slmconv collect --help lists the formats; --format forces one");
  }
  report_.too_many_skipped =
      static_cast<double>(report_.n_bad) > options_.max_skipped * static_cast<double>(report_.n_records);
  return std::move(report_);
}

Status Importer::read_input(const Input& input) {
  std::unique_ptr<ByteSource> source;
  if (input.path.empty()) {
    if (tools_.in == nullptr) return fail(ErrorCode::kUsage, "standard input isn't available here");
    source = stream_source(*tools_.in);
  } else {
    SLM_TRY(source, open_file_source(input.path));
  }
  const bool is_file = !input.path.empty();
  SLM_TRY(const auto decoded,
          decode_source(std::move(source), is_file ? input.name : "standard input", input.path.string()));
  report_.n_files += 1;
  if (writer_ != nullptr) writer_->begin_input();
  joiners_.clear();
  Status status = read_records(input, *decoded);
  // What was read of a file that is cut or damaged is good.
  if (status_ && !interrupted()) finish_joined();
  return status_ ? status : status_;
}

void Importer::finish_joined() {
  for (const auto& dialect : dialects::all()) {
    const auto joiner = joiners_.find(&dialect);
    if (joiner == joiners_.end()) continue;
    dialect_ = &dialect;
    joiner->second->finish(*this);
  }
}

Status Importer::read_records(const Input& input, DecodedSource& source) {
  RecordReader reader(source, options_.max_record_bytes);
  const uint64_t bytes_before = report_.n_bytes;
  RecordReader::Record record;
  for (;;) {
    auto more = reader.next(record);
    // Standard input ends at a signal: what it ended in is no record.
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted");
    report_.n_bytes = bytes_before + source.n_bytes_in();
    if (!more) return fail(std::move(more).error());
    if (!*more) return {};
    report_.n_records += 1;
    read_record(input, record);
    if (!status_) return status_;
    progress_.advance(report_.n_bytes);
  }
}

void Importer::read_record(const Input& input, const RecordReader::Record& record) {
  if (!record.bad.empty()) {
    bad_record(input, record.line, record.bad,
               fmt::format("{} bytes, limit {}", record.n_bytes, options_.max_record_bytes));
    return;
  }
  auto value = parse_json(record.text, kMaxDepth);
  if (!value) {
    // The parser's message speaks of offsets, never of the text.
    if (is_utf8(record.text))
      bad_record(input, record.line, "not_json", value.error().message);
    else
      bad_record(input, record.line, "invalid_utf8", fmt::format("{} bytes", record.n_bytes));
    return;
  }
  // A line may be a list of records, if no dialect takes the list itself for one.
  auto* list = value->if_array();
  if (list == nullptr || list->empty() || dialects::recognise(*value) != nullptr)
    return read_value(input, record.line, *value);
  report_.n_records += static_cast<int64_t>(list->size()) - 1;
  for (json::value& item : *list) {
    read_value(input, record.line, item);
    if (!status_ || interrupted()) return;
  }
}

void Importer::read_value(const Input& input, int64_t line, json::value& value) {
  dialect_ = forced_ != nullptr ? forced_ : dialects::recognise(value);
  if (dialect_ == nullptr) {
    bad_record(input, line, "unknown_format", "no known dialect; --format forces one");
    return;
  }
  std::string_view reason;
  if (dialect_->joiner != nullptr) {
    auto& joiner = joiners_[dialect_];
    if (joiner == nullptr) joiner = dialect_->joiner();
    reason = joiner->add(value, *this);
  } else {
    reason = dialect_->parse(value, *this);
  }
  if (!reason.empty()) bad_record(input, line, reason, fmt::format("as {}", dialect_->name));
}

void Importer::bad_record(const Input& input, int64_t line, std::string_view reason, std::string_view detail) {
  report_.n_bad += 1;
  count_drop(reason);
  if (report_.n_bad <= options_.n_warnings)
    progress_.warn(fmt::format("{}:{}: {} ({})", input.name, line, reason, detail));
}

bool Importer::call(const LoggedCall& logged) {
  count_call(logged);
  if (options_.no_hci && logged.call.meta.flags.hci) {
    count_drop("human_facing");
    return true;
  }
  if (!logged.failure.empty()) report_.failed[std::string(logged.failure)] += 1;
  if (tools_.store == nullptr)
    report_.n_added += 1;
  else
    status_ = writer_->add(read_call(logged));
  return status_.has_value() && !interrupted();
}

void Importer::count_call(const LoggedCall& logged) {
  const CallMeta& meta = logged.call.meta;
  report_.n_calls += 1;
  report_.n_hci += meta.flags.hci;
  report_.n_bad_session += meta.flags.bad_session;
  report_.n_truth += meta.has_truth;
  report_.n_vision += meta.flags.vision;
  add_tally(report_.dialects, std::string(dialect_->name), meta);
  add_tally(report_.sites, meta.site, meta);
  add_tally(report_.models, meta.model, meta);
  if (meta.time_ms) {
    report_.first_ms = std::min(report_.first_ms.value_or(*meta.time_ms), *meta.time_ms);
    report_.last_ms = std::max(report_.last_ms.value_or(*meta.time_ms), *meta.time_ms);
  }
}

}  // namespace

Result<Report> import_logs(const std::vector<Input>& inputs, const ImportOptions& options, const ImportTools& tools) {
  return Importer(options, tools).run(inputs);
}

}  // namespace slm::collect

#include <ostream>

#include "ui/reporters.h"

namespace slm::cli {
namespace {

// One JSON object a line; every line has "message_type". schemas/message/message.schema.json is the contract.
class JsonReporter final : public Reporter {
 public:
  JsonReporter(std::ostream& out, const ReporterOptions& options) : out_(out), o_(options) {}

  void start(std::string_view label, uint64_t total) override {
    label_ = label;
    total_ = total;
    last_s_ = o_.clock->monotonic_s();
    status(0, "");
  }
  void advance(uint64_t done, std::string_view note) override {
    const double now_s = o_.clock->monotonic_s();
    if (now_s - last_s_ < 1.0) return;
    last_s_ = now_s;
    status(done, note);
  }
  void finish() override {}
  void metrics(const json::object& fields, bool always) override {
    const double now_s = o_.clock->monotonic_s();
    if (o_.quiet || (!always && now_s - last_metrics_s_ < 1.0)) return;
    last_metrics_s_ = now_s;
    json::object line{{"message_type", "status"}};
    for (const auto& item : fields) line[item.key()] = item.value();
    print(line);
  }
  void note(std::string_view line) override {
    if (!o_.quiet) print({{"message_type", "status"}, {"note", line}});
  }
  void warn(std::string_view line) override { print({{"message_type", "warning"}, {"message", line}}); }
  void row(const json::object& fields) override {
    json::object line{{"message_type", "result"}};
    for (const auto& item : fields) line[item.key()] = item.value();
    print(line);
  }
  void end_table() override {}
  void text(std::string_view text) override { print({{"message_type", "result"}, {"text", text}}); }
  void summary(std::string_view command, const Summary& s) override {
    if (s.code != ErrorCode::kOk) error(command, {s.code, s.message, s.hint});
    json::object dropped;
    for (const auto& [reason, n] : s.dropped) dropped[reason] = n;
    json::object line{{"message_type", "summary"},
                      {"command", command},
                      {"n_in", s.n_in},
                      {"n_out", s.n_out},
                      {"dropped", dropped},
                      {"artifact", s.artifact},
                      {"changed", s.changed},
                      {"exit_code", exit_code(s.code)}};
    for (const auto& item : s.extra) line[item.key()] = item.value();
    print(line);
  }
  void error(std::string_view command, const Error& e) override {
    print({{"message_type", "error"},
           {"command", command},
           {"code", error_name(e.code)},
           {"exit_code", exit_code(e.code)},
           {"message", e.message},
           {"hint", e.hint}});
  }
  bool is_json() const override { return true; }

 private:
  void status(uint64_t done, std::string_view note) {
    if (o_.quiet) return;
    print({{"message_type", "status"}, {"label", label_}, {"done", done}, {"total", total_}, {"note", note}});
  }
  void print(const json::object& line) { out_ << json::serialize(line) << '\n' << std::flush; }

  std::ostream& out_;
  ReporterOptions o_;
  std::string label_;
  uint64_t total_ = 0;
  double last_s_ = 0, last_metrics_s_ = -1;
};

}  // namespace

std::unique_ptr<Reporter> json_reporter(std::ostream& out, const ReporterOptions& options) {
  return std::make_unique<JsonReporter>(out, options);
}

}  // namespace slm::cli

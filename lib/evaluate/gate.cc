#include "evaluate/gate.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/toml.h"

namespace slm::evaluate {
namespace {

constexpr std::string_view kReplace = "replace";
constexpr std::string_view kNotMeasurable = "not_measurable";

tl::unexpected<Error> bad_key(std::string_view name, std::string_view key, std::string_view wanted) {
  return fail(ErrorCode::kBadInput, fmt::format("{}: \"{}\" must be {}", name, key, wanted));
}

Result<std::optional<double>> ratio(const json::object& table, std::string_view key, std::string_view name) {
  const json::value* value = find(table, key);
  if (!value) return std::optional<double>();
  const auto number = get_number(table, key);
  if (!number || *number < -1 || *number > 1) return bad_key(name, key, "a number from -1 to 1");
  return number;
}

Result<Threshold> threshold_from(const json::value& value, std::string_view name) {
  SLM_TRY(const json::object* table, want_object(value, name));
  for (const auto& field : *table)
    if (const std::string_view key = field.key(); key != "tuned" && key != "gain" && key != "bound" && key != "verdict")
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: unknown key \"{}\" (known: tuned, gain, bound, verdict)", name, key));
  Threshold out;
  SLM_TRY(out.tuned, ratio(*table, "tuned", name));
  SLM_TRY(out.gain, ratio(*table, "gain", name));
  SLM_TRY(out.bound, ratio(*table, "bound", name));
  if (find(*table, "verdict")) {
    out.verdict = std::string(get_string(*table, "verdict"));
    if (!score::parse_verdict(*out.verdict))
      return bad_key(name, "verdict", "replace, keep, need_more or not_measurable");
  }
  return out;
}

// At least `least` where the value is known.
GateCheck at_least(const TaskEvaluation& task, std::string_view name, std::optional<double> value, double least) {
  GateCheck out{task.task.value, std::string(name), CheckState::kMet, ""};
  if (!value) {
    out.state = CheckState::kInsufficient;
    out.message = fmt::format("not measured ({}), at least {:.3f} is asked for", task.verdict, least);
  } else {
    out.state = *value >= least ? CheckState::kMet : CheckState::kUnmet;
    out.message = fmt::format("{:.3f}, at least {:.3f} is asked for", *value, least);
  }
  return out;
}

GateCheck bound_check(const TaskEvaluation& task, double most) {
  GateCheck out{task.task.value, "bound", CheckState::kMet, ""};
  if (!task.bound) {
    out.state = CheckState::kInsufficient;
    out.message = fmt::format("not measured ({}), at most {:.3f} is asked for", task.verdict, most);
    return out;
  }
  out.message = fmt::format("{:.3f}, at most {:.3f} is asked for", *task.bound, most);
  if (*task.bound <= most) return out;
  // A loss that may still be small enough with more sessions isn't shown to be too large.
  out.state = task.loss < most ? CheckState::kInsufficient : CheckState::kUnmet;
  return out;
}

GateCheck verdict_check(const TaskEvaluation& task, const std::string& wanted) {
  GateCheck out{task.task.value, "verdict", CheckState::kMet, fmt::format("{}, {} is asked for", task.verdict, wanted)};
  if (task.verdict == wanted) return out;
  const bool open = task.verdict == score::verdict_name(score::Verdict::kNeedMore) || task.verdict == kNotEvaluated ||
                    task.verdict == kNotMeasurable;
  // More calls won't make it replaceable; they may still show that it must be kept.
  const bool hopeless = task.hopeless && wanted == kReplace;
  out.state = open && !hopeless ? CheckState::kInsufficient : CheckState::kUnmet;
  return out;
}

void check_task(const TaskEvaluation& task, const Threshold& wanted, std::vector<GateCheck>& out) {
  const auto exact = [](const std::optional<ArmScores>& arm) {
    return arm ? std::optional(arm->exact) : std::optional<double>();
  };
  const auto tuned = exact(task.tuned), base = exact(task.base);
  if (wanted.tuned) out.push_back(at_least(task, "tuned", tuned, *wanted.tuned));
  if (wanted.gain)
    out.push_back(at_least(task, "gain", tuned && base ? std::optional(*tuned - *base) : std::nullopt, *wanted.gain));
  if (wanted.bound) out.push_back(bound_check(task, *wanted.bound));
  if (wanted.verdict) out.push_back(verdict_check(task, *wanted.verdict));
}

GateCheck count_check(const Evaluation& evaluation, int64_t least) {
  int64_t n_replace = 0, n_open = 0;
  for (const TaskEvaluation& task : evaluation.tasks) {
    n_replace += task.verdict == kReplace;
    n_open +=
        verdict_check(task, std::string(kReplace)).state == CheckState::kInsufficient && task.verdict != kNotMeasurable;
  }
  GateCheck out{"", "replace_at_least", CheckState::kMet,
                fmt::format("{} tasks, at least {} are asked for", n_replace, least)};
  if (n_replace < least) out.state = n_replace + n_open >= least ? CheckState::kInsufficient : CheckState::kUnmet;
  return out;
}

std::string xml_escaped(std::string_view text) {
  std::string out;
  for (char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        // XML 1.0 has no other control characters.
        if (static_cast<unsigned char>(c) >= 0x20 || c == '\t' || c == '\n') out += c;
    }
  }
  return out;
}

struct TestCase {
  std::string suite, name, failure, skipped;
};

std::vector<TestCase> cases_of(const Evaluation& evaluation, const std::optional<GateResult>& gate) {
  std::vector<TestCase> out;
  if (gate) {
    for (const GateCheck& check : gate->checks) {
      TestCase made{check.task.empty() ? "all" : check.task, check.name, "", ""};
      if (check.state == CheckState::kUnmet) made.failure = check.message;
      if (check.state == CheckState::kInsufficient) made.skipped = check.message;
      out.push_back(std::move(made));
    }
    return out;
  }
  for (const TaskEvaluation& task : evaluation.tasks) {
    TestCase made{task.task.value, task.name, "", ""};
    if (task.verdict == score::verdict_name(score::Verdict::kKeep)) {
      made.failure = task.reason;
    } else if (task.verdict != kReplace) {
      made.skipped = task.reason;
    }
    out.push_back(std::move(made));
  }
  return out;
}

}  // namespace

ErrorCode GateResult::code() const {
  ErrorCode out = ErrorCode::kOk;
  for (const GateCheck& check : checks) {
    if (check.state == CheckState::kUnmet) return ErrorCode::kQualityGate;
    if (check.state == CheckState::kInsufficient) out = ErrorCode::kInsufficientEvidence;
  }
  return out;
}

int64_t GateResult::n_failed() const {
  return std::count_if(checks.begin(), checks.end(), [](const GateCheck& c) { return c.state != CheckState::kMet; });
}

Result<Gate> read_gate(const std::filesystem::path& path) {
  SLM_TRY(const json::value value, read_toml_file(path));
  const std::string name = path.string();
  SLM_TRY(const json::object* root, want_object(value, name));
  Gate out;
  for (const auto& field : *root) {
    const std::string_view key = field.key();
    if (key == "replace_at_least") {
      out.replace_at_least = get_int(*root, key);
      if (!out.replace_at_least || *out.replace_at_least < 0)
        return bad_key(name, key, "a number of tasks, at least 0");
    } else if (key == "all") {
      SLM_TRY(out.all, threshold_from(field.value(), fmt::format("{}: [all]", name)));
    } else if (key == "task") {
      SLM_TRY(const json::object* tasks, want_object(field.value(), fmt::format("{}: [task]", name)));
      for (const auto& task : *tasks) {
        const std::string id(task.key());
        SLM_TRY(Threshold threshold, threshold_from(task.value(), fmt::format("{}: [task.{}]", name, id)));
        out.tasks.emplace_back(id, std::move(threshold));
      }
    } else {
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: unknown key \"{}\" (known: replace_at_least, all, task)", name, key));
    }
  }
  return out;
}

Result<GateResult> check_gate(const Gate& gate, const Evaluation& evaluation) {
  GateResult out;
  std::vector<const TaskEvaluation*> own;
  for (const auto& entry : gate.tasks) {
    const std::string& name = entry.first;
    const auto found = std::find_if(evaluation.tasks.begin(), evaluation.tasks.end(), [&](const TaskEvaluation& task) {
      return task.task.value == name || task.name == name;
    });
    if (found == evaluation.tasks.end())
      return fail(
          ErrorCode::kBadInput,
          fmt::format("the gate names task {}, which isn't among the {} evaluated", name, evaluation.tasks.size()),
          "slmconv report tasks");
    check_task(*found, entry.second, out.checks);
    own.push_back(&*found);
  }
  if (gate.all) {
    for (const TaskEvaluation& task : evaluation.tasks)
      if (task.verdict != kNotMeasurable && std::find(own.begin(), own.end(), &task) == own.end())
        check_task(task, *gate.all, out.checks);
  }
  if (gate.replace_at_least) out.checks.push_back(count_check(evaluation, *gate.replace_at_least));
  return out;
}

std::string junit_xml(const Evaluation& evaluation, const std::optional<GateResult>& gate) {
  const std::vector<TestCase> cases = cases_of(evaluation, gate);
  int64_t n_failures = 0, n_skipped = 0;
  std::string body;
  for (const TestCase& item : cases) {
    body += fmt::format("  <testcase classname=\"{}\" name=\"{}\">", xml_escaped(item.suite), xml_escaped(item.name));
    if (!item.failure.empty()) {
      ++n_failures;
      body += fmt::format("<failure message=\"{}\"/>", xml_escaped(item.failure));
    } else if (!item.skipped.empty()) {
      ++n_skipped;
      body += fmt::format("<skipped message=\"{}\"/>", xml_escaped(item.skipped));
    }
    body += "</testcase>\n";
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuite name=\"slmconv evaluate {}\" tests=\"{}\" "
      "failures=\"{}\" skipped=\"{}\">\n{}</testsuite>\n",
      xml_escaped(evaluation.manifest.id), cases.size(), n_failures, n_skipped, body);
}

}  // namespace slm::evaluate

#include <fmt/format.h>

#include <algorithm>

#include "report/report.h"

namespace slm::report {
namespace {

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '&':
        out += "&amp;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

constexpr std::string_view kStyle = R"css(
:root{--bg:#f7f7f5;--card:#fff;--ink:#1c1e21;--soft:#63676d;--line:#e3e3df;--base:#b3b8c0;--tuned:#1f6feb;--llm:#1c1e21;
--good:#17803d;--goodbg:#e5f4ea;--bad:#b42318;--badbg:#fdeceb;--wait:#8a5a00;--waitbg:#fdf3dc;--none:#63676d;--nonebg:#eeeeec}
@media (prefers-color-scheme:dark){:root{--bg:#131517;--card:#1b1e21;--ink:#e9eaec;--soft:#9aa0a7;--line:#2d3135;--base:#5d646d;
--tuned:#5b9dff;--llm:#e9eaec;--good:#5fd38a;--goodbg:#15301f;--bad:#ff8a80;--badbg:#3a1b19;--wait:#f0c060;--waitbg:#35290f;--none:#9aa0a7;--nonebg:#26292d}}
*{box-sizing:border-box}body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:1080px;margin:0 auto;padding:40px 24px 64px}h1{font-size:26px;line-height:1.25;margin:0 0 6px;letter-spacing:-.01em}
h2{font-size:17px;margin:40px 0 12px}p{margin:0 0 12px;max-width:76ch}.soft{color:var(--soft)}.warn{background:var(--waitbg);color:var(--wait);padding:8px 12px;border-radius:6px;display:inline-block}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:24px 0 8px}
.tile{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px}.tile b{display:block;font-size:24px;line-height:1.2;font-variant-numeric:tabular-nums}.tile span{color:var(--soft);font-size:13px}
.card{background:var(--card);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}th,td{padding:9px 10px;text-align:right;border-bottom:1px solid var(--line);white-space:nowrap}
th{font-weight:600;font-size:12.5px;color:var(--soft)}tr:last-child td{border-bottom:0}th.l,td.l{text-align:left}td.name{white-space:normal;min-width:120px}td.name small{display:block;color:var(--soft)}
.v{display:inline-block;padding:2px 9px;border-radius:99px;font-size:13px;font-weight:600}.replace{color:var(--good);background:var(--goodbg)}.keep{color:var(--bad);background:var(--badbg)}
.need_more{color:var(--wait);background:var(--waitbg)}.not_measurable,.not_evaluated{color:var(--none);background:var(--nonebg)}
svg text{font:11px system-ui,sans-serif;fill:var(--soft)}.key{display:flex;flex-wrap:wrap;gap:6px 18px;font-size:13px;color:var(--soft);margin:10px 0 0}.key i{display:inline-block;width:11px;height:11px;border-radius:50%;margin-right:6px;vertical-align:-1px}
.cols{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:16px}ul{margin:0;padding-left:20px}li{margin-bottom:6px;max-width:76ch}
footer{margin-top:40px;color:var(--soft);font-size:13px}code{font:12.5px ui-monospace,Menlo,Consolas,monospace}
)css";

// One row of the chart: base, tuned and LLM on an axis from 0 to 1, and where the bound allows the tuned model to lie.
std::string chart(const TaskRow& t) {
  if (!t.tuned) return "";
  constexpr double kLeft = 8, kWidth = 164, kY = 13;
  auto x = [&](double v) { return kLeft + kWidth * std::clamp(v, 0.0, 1.0); };
  std::string svg = fmt::format(R"s(<svg width="180" height="26" role="img" aria-label="base {}, tuned {}, LLM {}">)s",
                                ratio_text(t.base), ratio_text(t.tuned), ratio_text(t.llm));
  svg += fmt::format(R"s(<line x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}" stroke="var(--line)" stroke-width="2"/>)s", x(0),
                     x(1), kY, kY);
  if (t.base) {
    svg += fmt::format(
        R"s(<line x1="{:.1f}" x2="{:.1f}" y1="{}" y2="{}" stroke="var(--tuned)" stroke-width="3" opacity=".35"/>)s",
        x(std::min(*t.base, *t.tuned)), x(std::max(*t.base, *t.tuned)), kY, kY);
    svg += fmt::format(R"s(<circle cx="{:.1f}" cy="{}" r="5" fill="var(--base)"/>)s", x(*t.base), kY);
  }
  if (t.llm) {
    svg += fmt::format(R"s(<rect x="{:.1f}" y="3" width="{:.1f}" height="20" fill="var(--good)" opacity=".13"/>)s",
                       x(*t.llm - t.delta), std::max(1.0, x(*t.llm) - x(*t.llm - t.delta)));
    svg += fmt::format(R"s(<line x1="{:.1f}" x2="{:.1f}" y1="3" y2="23" stroke="var(--llm)" stroke-width="2"/>)s",
                       x(*t.llm), x(*t.llm));
  }
  svg += fmt::format(R"s(<circle cx="{:.1f}" cy="{}" r="6" fill="var(--tuned)"/></svg>)s", x(*t.tuned), kY);
  return svg;
}

std::string tile(const std::string& value, std::string_view label) {
  return fmt::format("<div class=\"tile\"><b>{}</b><span>{}</span></div>\n", escape(value), escape(label));
}

std::string count_table(std::string_view first, std::string_view second, const std::map<std::string, int64_t>& rows) {
  std::string out =
      fmt::format("<div class=\"card\"><table><tr><th class=\"l\">{}</th><th>{}</th></tr>\n", first, second);
  for (const auto& [name, n] : rows) {
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    out += fmt::format("<tr><td class=\"l\">{}</td><td>{}</td></tr>\n", escape(words), n);
  }
  return out + "</table></div>\n";
}

}  // namespace

std::string html(const ReportData& data) {
  double saving = 0, share = 0;
  int64_t replaced = 0, calls = 0;
  for (const auto& t : data.tasks) {
    saving += t.saving_usd.value_or(0);
    calls += t.n_calls;
    if (t.verdict == "replace") ++replaced, share += t.call_share;
  }
  // "2026-11-22T16:25:54.123Z" to the minute.
  const std::string made =
      data.made.size() < 16 ? data.made : fmt::format("{} {} UTC", data.made.substr(0, 10), data.made.substr(11, 5));
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n<p class=\"soft\">{} · {} · "
      "{}</p>\n",
      escape(data.title), kStyle, escape(headline(data)), escape(data.title), escape(made), escape(data.tool));
  if (data.demo_store)
    out += "<p class=\"warn\">Demonstration store: its keys come from a known seed and protect nothing.</p>\n";
  out += "<div class=\"tiles\">\n" +
         tile(fmt::format("{} / {}", replaced, data.tasks.size()), "tasks a small model can take") +
         tile(fmt::format("{:.0f} %", 100 * share), "of the calls they make") +
         tile(money_text(saving), "saved in 30 days") + tile(fmt::format("{}", calls), "curated calls in tasks") +
         "</div>\n";

  out +=
      "<h2>Tasks and verdicts</h2>\n<div class=\"card\"><table>\n<tr><th class=\"l\">task</th><th "
      "class=\"l\">kind</th><th>calls</th>"
      "<th class=\"l\">held-out sessions answered right</th><th>base</th><th>tuned</th><th>LLM</th><th>bound</th><th "
      "class=\"l\">verdict</th><th>saving</th></tr>\n";
  for (const auto& t : data.tasks)
    out += fmt::format(
        "<tr><td class=\"l name\">{}<small>{}</small></td><td class=\"l\">{}</td><td>{}</td><td "
        "class=\"l\">{}</td><td>{}</td><td>{}</td><td>{}{}</td><td>{}</td>"
        "<td class=\"l\"><span class=\"v {}\">{}</span></td><td>{}</td></tr>\n",
        escape(t.name), escape(t.id), escape(t.kind), t.n_calls, chart(t), ratio_text(t.base), ratio_text(t.tuned),
        ratio_text(t.llm), t.agreement ? "*" : "", ratio_text(t.bound), escape(t.verdict), verdict_text(t.verdict),
        money_text(t.saving_usd));
  out +=
      "</table></div>\n<div class=\"key\"><span><i style=\"background:var(--base)\"></i>base model</span><span><i "
      "style=\"background:var(--tuned)\"></i>tuned</span>"
      "<span><i style=\"background:var(--llm);border-radius:0;width:3px\"></i>logged LLM</span>";
  out += fmt::format(
      "<span><i style=\"background:var(--good);opacity:.3;border-radius:2px\"></i>within the margin δ = "
      "{:.2f}</span></div>\n",
      data.delta);
  out += fmt::format(
      "<p class=\"soft\" style=\"margin-top:14px\">The bound is what replacing the LLM loses at most, at the task's "
      "Holm level: a task is replaced when it is "
      "at most δ = {:.2f}. Savings are per 30 days at this log's rate, with the fallback's share inside.{}</p>\n",
      data.delta,
      std::any_of(data.tasks.begin(), data.tasks.end(), [](const TaskRow& t) { return t.agreement; })
          ? " * the log keeps no truth for this task: the figure is agreement with the logged answer."
          : "");

  std::string why;
  for (const auto& t : data.tasks)
    if (!t.reason.empty())
      why += fmt::format("<li><b>{}</b> ({}): {}</li>\n", escape(t.name), escape(t.id), escape(t.reason));
  if (!why.empty()) out += "<h2>Why</h2>\n<ul>\n" + why + "</ul>\n";

  out +=
      "<h2>Beside it</h2>\n<div class=\"card\"><table>\n<tr><th class=\"l\">task</th><th>units</th><th>nearest "
      "answer</th><th>majority</th><th>ms a call</th>"
      "<th>LLM ms</th><th>tokens/s</th><th>trained on</th><th>share of cost</th></tr>\n";
  for (const auto& t : data.tasks) {
    auto n = [](const auto& v) { return v ? fmt::format("{:.0f}", static_cast<double>(*v)) : std::string("–"); };
    out += fmt::format(
        "<tr><td class=\"l "
        "name\">{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.0f} "
        "%</td></tr>\n",
        escape(t.name), t.n_units, ratio_text(t.nearest), ratio_text(t.majority), n(t.latency_ms), n(t.llm_latency_ms),
        n(t.tokens_per_s), n(t.n_train), 100 * t.cost_share);
  }
  out += "</table></div>\n";

  if (data.scrub || !data.found_by_type.empty()) {
    out += "<div class=\"cols\">\n";
    if (data.scrub)
      out += fmt::format("<section><h2>Records: {} raw, {} kept</h2>\n", data.scrub->n_in, data.scrub->n_out) +
             count_table("left out because", "calls", data.scrub->dropped) + "</section>\n";
    if (!data.found_by_type.empty())
      out += "<section><h2>Private data replaced</h2>\n" + count_table("type", "values", data.found_by_type) +
             "</section>\n";
    out += "</div>\n";
  }
  out += "<footer>";
  if (!data.device.empty()) out += fmt::format("Measured on {}. ", escape(data.device));
  if (!data.prices.empty()) out += escape(data.prices) + ". ";
  out += "Artefacts:";
  for (const auto& [step, id] : data.artefacts) out += fmt::format(" {} <code>{}</code>", escape(step), escape(id));
  out += ".</footer>\n</main>\n</body>\n</html>\n";
  return out;
}

}  // namespace slm::report

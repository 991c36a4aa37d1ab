#include "report/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace slm::report {
namespace {

using testing::HasSubstr;
using testing::Not;

ReportData sample() {
  ReportData data;
  data.made = "2026-11-22T10:00:00.000Z";
  data.tool = "slmconv 0.1.0";
  data.delta = 0.10;
  TaskRow route;
  route.id = "t01";
  route.name = "route <message> & \"more\"";
  route.kind = "label";
  route.n_calls = 1000;
  route.n_units = 400;
  route.base = 0.31;
  route.tuned = 0.96;
  route.llm = 0.97;
  route.bound = 0.051;
  route.delta = 0.10;
  route.verdict = "replace";
  route.cost_usd = 12.0;
  route.saving_usd = 9.0;
  route.call_share = 0.5;
  TaskRow open;
  open.id = "t02";
  open.name = "reply";
  open.kind = "open_text";
  open.n_calls = 900;
  open.verdict = "not_measurable";
  open.reason = "free text without truth or grader";
  open.call_share = 0.5;
  open.cost_usd = 8.0;
  data.tasks = {route, open};
  data.scrub = Funnel{2100, 1900, {{"exact_duplicate", 150}, {"truncated", 50}}};
  data.found_by_type = {{"email", 31}};
  data.artefacts = {{"cluster", "0123456789abcdef"}};
  return data;
}

TEST(Report, HeadlineSaysWhatCanMoveAndWhatItSaves) {
  EXPECT_EQ(headline(sample()),
            "1 of 2 tasks can move to a small model, saving $9.00 of $20.00 in 30 days at this log's rate (45 %)");
}

TEST(Report, SummaryHoldsNumbersOrNull) {
  const auto summary = summary_json(sample());
  const auto& tasks = summary.at("tasks").as_array();
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0].at("tuned").as_double(), 0.96);
  EXPECT_EQ(tasks[0].at("verdict").as_string(), "replace");
  EXPECT_TRUE(tasks[1].at("base").is_null());
  EXPECT_TRUE(tasks[1].at("tuned").is_null());
  EXPECT_TRUE(tasks[1].at("saving_usd").is_null());
  const auto valid = validate_json(summary, "schemas/summary.schema.json");
  EXPECT_TRUE(valid) << valid.error().message;
}

TEST(Report, HtmlEscapesNamesAndLoadsNothingFromElsewhere) {
  const std::string page = html(sample());
  EXPECT_THAT(page, HasSubstr("route &lt;message&gt; &amp; &quot;more&quot;"));
  EXPECT_THAT(page, Not(HasSubstr("<message>")));
  for (const char* outside : {"http://", "https://", "src=", "@import", "url(", "<script"})
    EXPECT_THAT(page, Not(HasSubstr(outside)));
  EXPECT_THAT(page, HasSubstr("not measurable"));
  EXPECT_THAT(page, HasSubstr("0.96"));
  EXPECT_THAT(page, HasSubstr("exact duplicate"));
}

TEST(Report, MarkdownHasOneRowATaskAndSaysWhy) {
  const std::string text = markdown(sample());
  EXPECT_THAT(text, HasSubstr("| t02 reply | open_text | 900 | – | – | – | – | not measurable | – |"));
  EXPECT_THAT(text, HasSubstr("free text without truth or grader"));
  EXPECT_THAT(text, HasSubstr("| exact_duplicate | 150 |"));
}

TEST(Report, ADemonstrationStoreIsSaidToProtectNothing) {
  auto data = sample();
  EXPECT_THAT(html(data), Not(HasSubstr("protect nothing")));
  data.demo_store = true;
  EXPECT_THAT(html(data), HasSubstr("protect nothing"));
  EXPECT_THAT(markdown(data), HasSubstr("protect nothing"));
}

}  // namespace
}  // namespace slm::report

#include "score/cost.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

namespace slm::score {
namespace {

TEST(Cost, EveryPriceHasDateAndSource) {
  const auto list = default_prices();
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_GE(list->prices.size(), 10u);
  for (const Price& price : list->prices) {
    EXPECT_FALSE(price.date.empty()) << price.model;
    EXPECT_FALSE(price.source.empty()) << price.model;
    EXPECT_EQ(list->find(price.model), &price) << price.model << " is listed twice";
  }
}

TEST(Cost, NamesWithProviderAndReleaseDate) {
  const auto list = default_prices();
  ASSERT_TRUE(list);
  const auto name_of = [&](std::string_view model) {
    const Price* price = list->find(model);
    return price ? price->model : "none";
  };
  EXPECT_EQ(name_of("gpt-4o"), "gpt-4o");
  EXPECT_EQ(name_of("openai/gpt-4o-2024-08-06"), "gpt-4o");
  EXPECT_EQ(name_of("gpt-4o-mini-2024-07-18"), "gpt-4o-mini");
  EXPECT_EQ(name_of("claude-sonnet-4-5-20250929"), "claude-sonnet-4-5");
  EXPECT_EQ(name_of("gpt-4o-audio"), "none");
  EXPECT_EQ(name_of("gpt-4o-"), "none");
  EXPECT_EQ(name_of(""), "none");
}

TEST(Cost, OfCalls) {
  Price price;
  price.in_usd_per_mtok = 2.5, price.out_usd_per_mtok = 10;
  EXPECT_DOUBLE_EQ(cost_usd(price, {1'000'000, 100'000, 400'000}), 2.5 + 1);
  price.cached_usd_per_mtok = 1.25;
  EXPECT_DOUBLE_EQ(cost_usd(price, {1'000'000, 100'000, 400'000}), 1.5 + 0.5 + 1);
  EXPECT_DOUBLE_EQ(cost_usd(price, {100, 0, 900}), 100 * 1.25 / 1e6) << "no more cached than there are";
}

TEST(Cost, SavingPaysForFallbackAndForTheMachine) {
  OwnCost own;
  own.usd_per_hour = 3.6, own.tokens_per_s = 1000, own.tokens_per_call = 200;
  EXPECT_DOUBLE_EQ(own_usd_per_call(own), 0.0002);
  SavingQuestion question;
  question.llm_usd_per_call = 0.001, question.calls_per_month = 10000, question.fallback_share = 0.1;
  question.own_usd_per_call = 0.0002;
  // 10,000 calls cost 10 usd; a tenth still does, and every call is tried here first for 2 usd in all.
  EXPECT_NEAR(saving_usd_per_month(question), 10 - 1 - 2, 1e-9);
  question.own_usd_per_call = 0.01;
  EXPECT_LT(saving_usd_per_month(question), 0);
  own.tokens_per_s = 0;
  EXPECT_TRUE(std::isinf(own_usd_per_call(own)));
  own.usd_per_hour = 0;
  EXPECT_EQ(own_usd_per_call(own), 0);
}

TEST(Cost, BrokenFiles) {
  const auto path = std::filesystem::temp_directory_path() / "slmconv_cost_test.toml";
  const auto write = [&](std::string_view text) { std::ofstream(path, std::ios::trunc) << text; };
  write("date = \"2026-08\"\nsource = \"me\"\n[[price]]\nmodel = \"m\"\nin = -1\nout = 2\n");
  auto list = read_prices(path);
  ASSERT_FALSE(list);
  EXPECT_EQ(list.error().code, ErrorCode::kBadInput);
  write("source = \"me\"\n[[price]]\nmodel = \"m\"\nin = 1\nout = 2\n");
  EXPECT_FALSE(read_prices(path)) << "a price without a date";
  write("date = \"2026-08\"\nsource = \"me\"\n[[price]]\nmodel = \"m\"\nin = 1\nout = 2\nextra = 3\n");
  EXPECT_FALSE(read_prices(path)) << "an unknown key";
  write("date = \"2026-08\"\nsource = \"me\"\n[[price]]\nmodel = \"m\"\nin = 1\nout = 2\n");
  list = read_prices(path);
  ASSERT_TRUE(list) << list.error().message;
  EXPECT_EQ(list->prices.at(0).date, "2026-08");
  std::filesystem::remove(path);
  EXPECT_FALSE(read_prices(path));
}

}  // namespace
}  // namespace slm::score

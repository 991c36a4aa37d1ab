// What calls cost, and what a small model would save. Prices come from a dated file that its user may edit.
//
// Units: usd; prices per million tokens; tokens as billed, cached ones counted among those in.
// Errors: kBadInput when the file breaks schemas/price.schema.json.
// Source: schemas/catalogue/prices.toml names date and source of every price.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/error.h"

namespace slm::score {

struct Price {
  std::string model;
  double in_usd_per_mtok = 0, out_usd_per_mtok = 0;
  std::optional<double> cached_usd_per_mtok;  // none: cached tokens cost as much as others
  std::string date, source;
};

struct PriceList {
  std::vector<Price> prices;
  // By name, without a provider's prefix ("openai/"): as listed, else as listed with a release date or "-latest" behind
  // it ("gpt-4o-2024-08-06"); nullptr if none.
  const Price* find(std::string_view model) const;
};
// The list inside the program, or a file in its form.
Result<PriceList> default_prices();
Result<PriceList> read_prices(const std::filesystem::path& path);

struct TokenCount {
  int64_t n_in = 0, n_out = 0, n_cached = 0;
};
double cost_usd(const Price& price, const TokenCount& tokens);

// What running the small model costs: a machine's price by the hour and what it was measured to do.
struct OwnCost {
  double usd_per_hour = 0;     // of the machine that serves; set by the user
  double tokens_per_s = 0;     // measured, prompt and answer together
  double tokens_per_call = 0;  // measured, prompt and answer together, as the small model counts
};
// Infinite where nothing was measured and the hour isn't free.
double own_usd_per_call(const OwnCost& own);

struct SavingQuestion {
  double llm_usd_per_call = 0;
  double calls_per_month = 0;
  double fallback_share = 0;    // of the calls, those that stay with the large model
  double own_usd_per_call = 0;  // paid for every call: one that falls back was tried here first
};
// May be negative.
double saving_usd_per_month(const SavingQuestion& question);

}  // namespace slm::score

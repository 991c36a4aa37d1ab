#include "score/cost.h"

#include <algorithm>
#include <limits>

#include "schema/embedded.h"
#include "schema/toml.h"

namespace slm::score {
namespace {

constexpr std::string_view kSchema = "schemas/price.schema.json";
constexpr std::string_view kDefaultFile = "schemas/catalogue/prices.toml";

Result<PriceList> prices_from(const json::value& value, std::string_view name) {
  if (auto valid = validate_json(value, kSchema); !valid)
    return fail(valid.error().code, std::string(name) + ": " + valid.error().message);
  const json::object& root = value.get_object();
  PriceList out;
  for (const auto& item : root.at("price").as_array()) {
    const json::object& row = item.as_object();
    Price price;
    price.model = std::string(get_string(row, "model"));
    price.in_usd_per_mtok = get_number(row, "in").value_or(0);
    price.out_usd_per_mtok = get_number(row, "out").value_or(0);
    price.cached_usd_per_mtok = get_number(row, "cached");
    price.date = std::string(get_string(row, "date", get_string(root, "date")));
    price.source = std::string(get_string(row, "source", get_string(root, "source")));
    out.prices.push_back(std::move(price));
  }
  return out;
}

// "-2024-08-06", "-20250929", "-0613", "@20250929", "-latest", "-preview"
bool is_release(std::string_view rest) {
  if (rest.size() < 2 || (rest[0] != '-' && rest[0] != '@')) return false;
  rest.remove_prefix(1);
  if (rest == "latest" || rest == "preview") return true;
  return std::all_of(rest.begin(), rest.end(), [](char c) { return (c >= '0' && c <= '9') || c == '-'; }) &&
         rest.size() >= 4;
}

}  // namespace

const Price* PriceList::find(std::string_view model) const {
  if (const size_t slash = model.rfind('/'); slash != std::string_view::npos) model.remove_prefix(slash + 1);
  const Price* best = nullptr;
  for (const Price& price : prices) {
    if (price.model == model) return &price;
    if (model.starts_with(price.model) && is_release(model.substr(price.model.size())) &&
        (!best || price.model.size() > best->model.size()))
      best = &price;
  }
  return best;
}

Result<PriceList> default_prices() {
  SLM_TRY(const json::value value, parse_toml(embedded::file(kDefaultFile), kDefaultFile));
  return prices_from(value, kDefaultFile);
}

Result<PriceList> read_prices(const std::filesystem::path& path) {
  SLM_TRY(const json::value value, read_toml_file(path));
  return prices_from(value, path.string());
}

double cost_usd(const Price& price, const TokenCount& tokens) {
  const auto n_cached = static_cast<double>(std::clamp<int64_t>(tokens.n_cached, 0, tokens.n_in));
  const double n_fresh = static_cast<double>(tokens.n_in) - n_cached;
  return (n_fresh * price.in_usd_per_mtok + n_cached * price.cached_usd_per_mtok.value_or(price.in_usd_per_mtok) +
          static_cast<double>(tokens.n_out) * price.out_usd_per_mtok) /
         1e6;
}

double own_usd_per_call(const OwnCost& own) {
  if (own.usd_per_hour <= 0) return 0;
  if (own.tokens_per_s <= 0) return std::numeric_limits<double>::infinity();
  return own.usd_per_hour / 3600 * own.tokens_per_call / own.tokens_per_s;
}

double saving_usd_per_month(const SavingQuestion& q) {
  return q.calls_per_month * (q.llm_usd_per_call * (1 - q.fallback_share) - q.own_usd_per_call);
}

}  // namespace slm::score

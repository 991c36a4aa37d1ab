#include "select/catalogue.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/hash.h"
#include "schema/embedded.h"
#include "schema/toml.h"

namespace slm::select {
namespace {

constexpr std::string_view kSchema = "schemas/catalogue.schema.json";
constexpr std::string_view kDefaultFile = "schemas/catalogue/models.toml";

// The row as config.json would say it, for nn to judge: what can be loaded is decided in one place.
json::object config_of(const json::object& row) {
  json::object config;
  config["model_type"] = row.at("model_type");
  config["architectures"] = json::array{row.at("architecture")};
  if (const auto context = get_int(row, "context")) config["max_position_embeddings"] = *context;
  const json::object* shape = get_object(row, "shape");
  if (!shape) return config;
  static constexpr std::pair<std::string_view, std::string_view> kKeys[] = {
      {"layers", "num_hidden_layers"},  {"width", "hidden_size"},
      {"heads", "num_attention_heads"}, {"kv_heads", "num_key_value_heads"},
      {"ffn", "intermediate_size"},     {"vocabulary", "vocab_size"},
      {"head_dim", "head_dim"},         {"tied", "tie_word_embeddings"}};
  for (const auto& [ours, theirs] : kKeys)
    if (const json::value* value = find(*shape, ours)) config[theirs] = *value;
  if (const json::object* layers = get_object(row, "layers"))
    for (const auto& [key, value] : *layers) config[key] = value;
  return config;  // without rotary scaling: every kind that the schema knows is computed
}

CatalogueModel model_from(const json::object& row) {
  CatalogueModel out;
  out.name = std::string(get_string(row, "name"));
  out.repository = std::string(get_string(row, "repository"));
  out.architecture = std::string(get_string(row, "architecture"));
  out.licence = std::string(get_string(row, "licence"));
  out.source = std::string(get_string(row, "source"));
  out.tokenizer = std::string(get_string(row, "tokenizer"));
  out.n_parameters = get_int(row, "n_parameters").value_or(0);
  out.context = get_int(row, "context").value_or(0);
  if (const json::array* scores = get_array(row, "scores")) {
    for (const auto& item : *scores) {
      const json::object& score = item.as_object();
      out.scores.push_back({std::string(get_string(score, "benchmark")), std::string(get_string(score, "version")),
                            get_number(score, "value").value_or(0), std::string(get_string(score, "protocol")),
                            std::string(get_string(score, "source"))});
    }
  }
  auto config = nn::parse_config(config_of(row));
  if (config) {
    out.config = std::move(*config);
  } else {
    out.not_loadable = config.error().message;
  }
  return out;
}

Result<Catalogue> catalogue_from(const json::value& value, std::string_view name) {
  if (auto valid = validate_json(value, kSchema); !valid)
    return fail(valid.error().code, fmt::format("{}: {}", name, valid.error().message));
  Catalogue out;
  for (const auto& row : value.get_object().at("model").as_array()) {
    CatalogueModel model = model_from(row.as_object());
    if (out.find(model.name))
      return fail(ErrorCode::kBadInput, fmt::format("{}: {} is listed twice", name, model.name));
    out.models.push_back(std::move(model));
  }
  out.digest = sha256_hex(canonical_json(value));
  return out;
}

}  // namespace

const CatalogueModel* Catalogue::find(std::string_view name) const {
  const auto found =
      std::find_if(models.begin(), models.end(), [&](const CatalogueModel& m) { return m.name == name; });
  return found == models.end() ? nullptr : &*found;
}

Result<Catalogue> default_catalogue() {
  SLM_TRY(const json::value value, parse_toml(embedded::file(kDefaultFile), kDefaultFile));
  return catalogue_from(value, kDefaultFile);
}

Result<Catalogue> read_catalogue(const std::filesystem::path& path) {
  SLM_TRY(const json::value value, read_toml_file(path));
  return catalogue_from(value, path.string());
}

}  // namespace slm::select

#include <fmt/format.h>

#include <valijson/adapters/boost_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

#include "schema/embedded.h"
#include "schema/json.h"

namespace slm {

Status validate_json(const json::value& value, std::string_view schema_name) {
  const std::string_view text = embedded::file(schema_name);
  if (text.empty()) return fail(ErrorCode::kUnexpected, fmt::format("no schema {} in this build", schema_name));
  SLM_TRY(const json::value document, parse_json(text));
  try {
    valijson::Schema schema;
    valijson::SchemaParser().populateSchema(valijson::adapters::BoostJsonAdapter(document), schema);
    valijson::ValidationResults results;
    valijson::Validator validator;
    if (validator.validate(schema, valijson::adapters::BoostJsonAdapter(value), &results)) return {};
    // The deepest violation is the most specific; its description names keys of the schema, not values of the document.
    valijson::ValidationResults::Error error, last;
    size_t depth = 0;
    while (results.popError(error))
      if (error.context.size() >= depth) depth = error.context.size(), last = error;
    std::string where;
    for (const auto& step : last.context) where += step;
    return fail(ErrorCode::kBadInput, fmt::format("{}: at {}: {}", schema_name, where, last.description));
  } catch (const std::exception& e) {
    return fail(ErrorCode::kUnexpected, fmt::format("schema {}: {}", schema_name, e.what()));
  }
}

}  // namespace slm

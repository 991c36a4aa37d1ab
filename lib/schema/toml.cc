#include "schema/toml.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <sstream>

#include "core/file.h"

namespace slm {
namespace {

json::value convert(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    json::object out;
    for (const auto& [key, value] : *table) out[std::string_view(key.str())] = convert(value);
    return out;
  }
  if (const auto* array = node.as_array()) {
    json::array out;
    for (const auto& value : *array) out.push_back(convert(value));
    return out;
  }
  if (const auto* v = node.as_string()) return json::value(v->get());
  if (const auto* v = node.as_integer()) return json::value(v->get());
  if (const auto* v = node.as_floating_point()) return json::value(v->get());
  if (const auto* v = node.as_boolean()) return json::value(v->get());
  std::ostringstream text;
  if (const auto* v = node.as_date()) text << v->get();
  if (const auto* v = node.as_time()) text << v->get();
  if (const auto* v = node.as_date_time()) text << v->get();
  return json::value(text.str());
}

}  // namespace

Result<json::value> parse_toml(std::string_view text, std::string_view name) {
  try {
    return convert(toml::parse(text, name));
  } catch (const toml::parse_error& e) {
    return fail(ErrorCode::kBadInput,
                fmt::format("{}:{}:{}: {}", name, e.source().begin.line, e.source().begin.column, e.description()));
  }
}

Result<json::value> read_toml_file(const std::filesystem::path& path) {
  SLM_TRY(const std::string text, read_file(path));
  return parse_toml(text, path.string());
}

}  // namespace slm

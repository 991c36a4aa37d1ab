#include "pipeline.h"

#include <fmt/format.h>

#include "schema/toml.h"

namespace slm::cli {
namespace {

namespace fs = std::filesystem;

struct Places {
  fs::path work, here;
  std::string fill(std::string text) const {
    for (const auto& [name, value] :
         {std::pair{std::string("{work}"), work.string()}, std::pair{std::string("{here}"), here.string()}})
      for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + value.size()))
        text.replace(at, name.size(), value);
    return text;
  }
};

Result<std::string> scalar(const json::value& value, const Places& places, std::string_view where) {
  if (const auto* s = value.if_string()) return places.fill(std::string(*s));
  if (value.is_number()) return json::serialize(value);
  return fail(ErrorCode::kBadInput, fmt::format("{}: want a string, a number, true or a list of these", where));
}

Result<PipelineStep> read_step(const json::object& table, const Places& places, size_t number) {
  PipelineStep step;
  const std::string what = fmt::format("step {}", number);
  SLM_TRY(step.command, want_string(table, "command", what));
  std::string word;
  for (const char c : step.command + " ") {
    if (c != ' ')
      word += c;
    else if (!word.empty())
      step.args.push_back(std::exchange(word, {}));
  }
  for (const auto& item : table) {
    const std::string key = item.key();
    const json::value& value = item.value();
    if (key == "command" || key == "paths") continue;
    const std::string where = fmt::format("{} ({}), key {}", what, step.command, key);
    if (key == "makes") {
      SLM_TRY(const std::string path, scalar(value, places, where));
      step.makes = path;
    } else if (key == "when") {
      if (!value.is_string() || value.get_string() != "missing")
        return fail(ErrorCode::kBadInput, where + ": want \"missing\"");
      step.only_if_missing = true;
    } else if (key == "allow-fail") {
      if (!value.is_bool()) return fail(ErrorCode::kBadInput, where + ": want true or false");
      step.allow_fail = value.get_bool();
    } else if (value.is_bool()) {
      if (value.get_bool()) step.args.push_back("--" + key);
    } else {
      const json::array one{value};
      for (const auto& each : value.is_array() ? value.get_array() : one) {
        SLM_TRY(const std::string text, scalar(each, places, where));
        step.args.push_back("--" + key);
        step.args.push_back(text);
      }
    }
  }
  if (const auto* paths = get_array(table, "paths")) {
    for (const auto& each : *paths) {
      SLM_TRY(std::string text, scalar(each, places, what + ", key paths"));
      // A file of the pipeline's own is named relative to it; anything else (a task, "-") stays as it is.
      std::error_code ec;
      const bool own = text.find_first_of("*?") != std::string::npos || fs::exists(places.here / text, ec);
      if (own && fs::path(text).is_relative()) text = (places.here / text).string();
      step.args.push_back(text);
    }
  }
  if (step.only_if_missing && step.makes.empty())
    return fail(ErrorCode::kBadInput, fmt::format("{} ({}): when = \"missing\" needs makes", what, step.command));
  return step;
}

}  // namespace

Result<Pipeline> read_pipeline(const fs::path& file, const fs::path& work) {
  SLM_TRY(const json::value value, read_toml_file(file));
  const auto& root = value.get_object();
  Pipeline pipeline;
  SLM_TRY(pipeline.name, want_string(root, "name", file.string()));
  pipeline.work = work.empty() ? fs::path(get_string(root, "work", ".")) : work;
  for (const auto& item : root)
    if (item.key() != "name" && item.key() != "work" && item.key() != "step")
      return fail(ErrorCode::kBadInput, fmt::format("{}: unknown key {}", file.string(), std::string_view(item.key())));
  const auto* steps = get_array(root, "step");
  if (steps == nullptr || steps->empty())
    return fail(ErrorCode::kBadInput, fmt::format("{}: no [[step]]", file.string()));
  const Places places{fs::absolute(pipeline.work).lexically_normal(),
                      fs::absolute(file).parent_path().lexically_normal()};
  pipeline.work = places.work;
  for (size_t i = 0; i < steps->size(); ++i) {
    SLM_TRY(const json::object* table, want_object((*steps)[i], fmt::format("step {}", i + 1)));
    SLM_TRY(PipelineStep step, read_step(*table, places, i + 1));
    pipeline.steps.push_back(std::move(step));
  }
  return pipeline;
}

}  // namespace slm::cli

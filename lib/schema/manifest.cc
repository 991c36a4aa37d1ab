#include "schema/manifest.h"

#include <fmt/format.h>

#include "core/file.h"
#include "core/hash.h"
#include "core/time.h"
#include "schema/step_command.h"

namespace slm {
namespace {

template <class Map>
json::object object_of(const Map& map) {
  json::object out;
  for (const auto& [key, value] : map) out[key] = value;
  return out;
}

}  // namespace

std::string_view tool_version() { return SLM_VERSION; }

std::string Manifest::input_digest() const {
  json::object o;
  o["step"] = step;
  o["config"] = config;
  o["seed"] = seed;
  o["inputs"] = object_of(inputs);
  return sha256_hex(canonical_json(o));
}

std::string Manifest::digest() const {
  json::object o;
  o["input_digest"] = input_digest();
  o["outputs"] = object_of(outputs);
  o["n_in"] = n_in;
  o["n_out"] = n_out;
  o["dropped"] = object_of(dropped);
  o["summary"] = summary;
  return sha256_hex(canonical_json(o));
}

json::object to_json(const Manifest& m) {
  json::object o;
  o["schema"] = kManifestSchema;
  o["step"] = m.step;
  o["id"] = m.id;
  o["tool"] = m.tool;
  o["made"] = format_utc(m.made_ms);
  o["seconds"] = m.seconds;
  o["device"] = m.device;
  o["seed"] = m.seed;
  o["config"] = m.config;
  o["inputs"] = object_of(m.inputs);
  o["outputs"] = object_of(m.outputs);
  o["n_in"] = m.n_in;
  o["n_out"] = m.n_out;
  o["dropped"] = object_of(m.dropped);
  o["summary"] = m.summary;
  o["input_digest"] = m.input_digest();
  o["digest"] = m.digest();
  return o;
}

Result<Manifest> manifest_from_json(const json::value& value) {
  SLM_TRY(const json::object* o, want_object(value, "manifest"));
  SLM_TRY(const int64_t schema, want_int(*o, "schema", "manifest"));
  if (schema > kManifestSchema)
    return fail(ErrorCode::kFormatTooNew,
                fmt::format("manifest of schema {}, this build reads up to {}", schema, kManifestSchema));
  SLM_CHECK(validate_json(value, "schemas/manifest/manifest.schema.json"));
  Manifest m;
  m.step = get_string(*o, "step");
  m.id = get_string(*o, "id");
  m.tool = get_string(*o, "tool");
  SLM_TRY(m.made_ms, parse_time_ms(get_string(*o, "made")));
  m.seconds = get_number(*o, "seconds").value_or(0);
  m.device = get_string(*o, "device");
  m.seed = static_cast<uint64_t>(get_int(*o, "seed").value_or(0));
  m.config = *get_object(*o, "config");
  m.summary = *get_object(*o, "summary");
  for (const auto& item : *get_object(*o, "inputs")) m.inputs[item.key()] = item.value().as_string().c_str();
  for (const auto& item : *get_object(*o, "outputs")) m.outputs[item.key()] = item.value().as_string().c_str();
  for (const auto& item : *get_object(*o, "dropped")) m.dropped[item.key()] = item.value().to_number<int64_t>();
  m.n_in = get_int(*o, "n_in").value_or(0);
  m.n_out = get_int(*o, "n_out").value_or(0);
  if (get_string(*o, "digest") != m.digest())
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("manifest {} of step {}: its digest does not match its content", m.id, m.step),
                step_command(m.step));
  return m;
}

Result<Manifest> read_manifest(const std::filesystem::path& dir) {
  SLM_TRY(const json::value value, read_json_file(dir / "manifest.json"));
  return manifest_from_json(value);
}

Status write_manifest(const std::filesystem::path& dir, const Manifest& m) {
  int64_t sum = m.n_out;
  for (const auto& [reason, n] : m.dropped) sum += n;
  if (sum != m.n_in)
    return fail(ErrorCode::kUnexpected,
                fmt::format("step {}: counts don't add up: {} in, {} out and dropped", m.step, m.n_in, sum));
  return write_file_atomic(dir / "manifest.json", pretty_json(to_json(m)));
}

}  // namespace slm

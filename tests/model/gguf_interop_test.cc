// What scripts/interop/gguf.sh gives llama.cpp to agree with: of every model directory under SLMCONV_INTEROP_GGUF its
// GGUF files, and what this program computes with it.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "core/file.h"
#include "core/random.h"
#include "model/codec.h"
#include "model/gguf_export.h"
#include "nn/safetensors.h"
#include "text/tokenizer.h"

namespace slm::model {
namespace {

namespace fs = std::filesystem;

constexpr int kGreedy = 16;
constexpr size_t kStarts = 4, kTried = 32;

struct Written {
  std::string name, dtype;
  std::vector<int64_t> shape;
  Bytes data;
};

Written floats(std::string name, std::vector<int64_t> shape, const std::vector<float>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  return {std::move(name), "F32", std::move(shape), Bytes(bytes, bytes + values.size() * sizeof(float))};
}
Written integers(std::string name, const std::vector<int32_t>& values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  return {std::move(name), "I32", {std::ssize(values)}, Bytes(bytes, bytes + values.size() * sizeof(int32_t))};
}

std::vector<int32_t> ids_of(const nn::TensorView& view) {
  std::vector<int32_t> out;
  for (size_t i = 0; i < view.data.size(); i += 4) out.push_back(static_cast<int32_t>(get_u32(&view.data[i])));
  return out;
}

// The likeliest token again and again; how far the next likeliest was at the closest.
struct Going {
  std::vector<int32_t> start, made;
  float margin = INFINITY;
};
Going go_on(nn::Engine& engine, std::vector<int32_t> ids) {
  Going out{ids, {}};
  for (int i = 0; i < kGreedy; ++i) {
    auto logits = engine.logits(ids).value();
    const auto last = logits.end() - engine.config().vocab_size;
    const auto best = std::max_element(last, logits.end());
    out.made.push_back(static_cast<int32_t>(best - last));
    ids.push_back(out.made.back());
    const float top = *best;
    *best = -INFINITY;
    out.margin = std::min(out.margin, top - *std::max_element(last, logits.end()));
  }
  return out;
}

void compute(nn::Engine& engine, const fs::path& dir, const std::string& prefix, std::vector<Written>& out) {
  const auto expected = nn::SafeTensors::open(dir / "expected.safetensors").value();
  for (int i = 0; expected.tensors().contains(fmt::format("ids.{}", i)); ++i) {
    const auto ids = ids_of(expected.tensors().at(fmt::format("ids.{}", i)));
    const auto logits = engine.logits(ids);
    ASSERT_TRUE(logits) << logits.error().message;
    out.push_back(
        floats(fmt::format("{}logits.{}", prefix, i), {std::ssize(ids), engine.config().vocab_size}, *logits));
  }
  // A random model's likeliest tokens are often as good as equal: of many beginnings those that leave least to
  // rounding. All are longer than the contexts that are stretched.
  std::vector<Going> all;
  Prng random(1);
  for (size_t i = 0; i < kTried; ++i) {
    std::vector<int32_t> start(18 + i % 7);
    for (auto& id : start) id = static_cast<int32_t>(random.below(static_cast<uint64_t>(engine.config().vocab_size)));
    all.push_back(go_on(engine, std::move(start)));
  }
  std::sort(all.begin(), all.end(), [](const Going& a, const Going& b) { return a.margin > b.margin; });
  for (size_t i = 0; i < kStarts; ++i) {
    out.push_back(integers(fmt::format("{}start.{}", prefix, i), all[i].start));
    out.push_back(integers(fmt::format("{}greedy.{}", prefix, i), all[i].made));
  }
}

std::string text_of(const fs::path& path) { return read_file(path).value(); }

void export_model(const fs::path& dir, nn::GgmlType type) {
  const auto made =
      export_gguf(dir, {type, dir.filename().string()}, dir / fmt::format("model.{}.gguf", nn::ggml_format(type).name));
  ASSERT_TRUE(made) << dir << ": " << made.error().message;
}

void export_with_adapter(const fs::path& dir) {
  for (const auto& format : nn::kGgmlFormats) export_model(dir, format.type);
  const auto weights = text_of(dir / "adapter/adapter_model.safetensors");
  const nn::AdapterFiles adapter{text_of(dir / "adapter/adapter_config.json"), Bytes(weights.begin(), weights.end())};
  const auto made = export_gguf_adapter(dir, adapter, {nn::GgmlType::kF32, "adapter", {}}, dir / "adapter.gguf");
  ASSERT_TRUE(made) << dir << ": " << made.error().message;

  auto engine = nn::Engine::load(dir, {nn::DType::kFloat32, "cpu", 1});
  ASSERT_TRUE(engine) << engine.error().message;
  std::vector<Written> out;
  compute(**engine, dir, "", out);
  ASSERT_TRUE((*engine)->set_adapter(adapter));
  compute(**engine, dir, "adapted_", out);
  std::vector<nn::TensorToWrite> views;
  for (const auto& w : out) views.push_back({w.name, w.dtype, w.shape, w.data});
  ASSERT_TRUE(write_file_atomic(dir / "ours.safetensors", nn::write_safetensors(views)));
}

// texts.json: texts, and conversations to render and, with "answers", to go on from. → tokens.json: their ids, and the
// ids that end a turn.
void write_tokens(const fs::path& dir) {
  const auto codec = Codec::open(dir).value();
  const auto input = read_json_file(dir / "texts.json").value().as_object();
  json::array texts, prompts;
  const auto ids_json = [](const std::vector<int32_t>& ids) { return json::array(ids.begin(), ids.end()); };
  for (const auto& text : input.at("texts").as_array()) texts.push_back(ids_json(codec->encode_text(text.as_string())));
  std::unique_ptr<nn::Engine> engine;
  if (input.contains("answers")) engine = nn::Engine::load(dir, {nn::DType::kFloat32, "cpu", 1}).value();
  for (const auto& prompt : input.at("prompts").as_array()) {
    const Prompt given{prompt.as_array(), {}};
    const auto ids = codec->encode_prompt(given).value();
    json::object row{{"text", codec->render(given).value()}, {"ids", ids_json(ids)}};
    if (engine != nullptr) row["answer"] = ids_json(go_on(*engine, ids).made);
    prompts.push_back(std::move(row));
  }
  const json::object tokens{{"texts", texts},
                            {"prompts", prompts},
                            {"end_ids", json::array(codec->end_ids().begin(), codec->end_ids().end())}};
  ASSERT_TRUE(write_file_atomic(dir / "tokens.json", json::serialize(tokens)));
}

TEST(GgufInterop, WritesWhatLlamaCppReads) {
  const char* root = std::getenv("SLMCONV_INTEROP_GGUF");
  if (root == nullptr) GTEST_SKIP() << "scripts/interop/gguf.sh sets SLMCONV_INTEROP_GGUF";
  for (const auto& entry : fs::directory_iterator(root))
    if (entry.is_directory()) {
      fs::exists(entry.path() / "adapter") ? export_with_adapter(entry.path())
                                           : export_model(entry.path(), nn::GgmlType::kF16);
      write_tokens(entry.path());
    }
}

}  // namespace
}  // namespace slm::model

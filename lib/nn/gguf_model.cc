#include "nn/gguf_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <map>
#include <numbers>
#include <optional>

#include "nn/adapter.h"
#include "nn/safetensors.h"

namespace slm::nn {

namespace {

// A matrix as it is held, or a vector (one row).
struct Source {
  GgmlType type = GgmlType::kF32;
  ByteSpan data;
  int64_t rows = 1, columns = 0;
};

// What becomes of a tensor's values on their way.
struct Change {
  int64_t paired_heads = 0;  // rows of each head: from halves to pairs; 0: rows stay
  float added = 0;
};

struct Planned {
  GgufTensorToWrite written;
  Source source;
  Change change;
};

Result<Source> source_of(const TensorView& view, const std::string& name) {
  Source out;
  if (view.dtype == "F32")
    out.type = GgmlType::kF32;
  else if (view.dtype == "F16")
    out.type = GgmlType::kF16;
  else if (view.dtype == "BF16")
    out.type = GgmlType::kBF16;
  else
    return fail(ErrorCode::kUnsupportedModel,
                fmt::format("tensor {} is of type {}; known: F32, F16, BF16", name, view.dtype));
  out.data = view.data;
  out.columns = view.shape.back();
  out.rows = view.shape.size() == 2 ? view.shape[0] : 1;
  return out;
}

// The checkpoint's row that becomes row `row`, where each head's halves become pairs.
int64_t source_row(int64_t row, int64_t rows, int64_t heads) {
  if (heads == 0) return row;
  const int64_t head = rows / heads, at = row % head;
  return row - at + at % 2 * (head / 2) + at / 2;
}

// Heads whose rows are reordered in the tensor (or adapter) of this checkpoint name; 0: none.
int64_t paired_heads(const ModelConfig& c, const GgufSettings& settings, std::string_view name) {
  if (!settings.pairs) return 0;
  if (name.find(".q_proj.") != std::string_view::npos) return c.n_heads;
  return name.find(".k_proj.") != std::string_view::npos ? c.n_kv_heads : 0;
}

Result<Bytes> convert(const Planned& tensor) {
  const auto& [written, source, change] = tensor;
  const auto row_bytes = static_cast<size_t>(*gguf_tensor_bytes(source.type, {source.columns}));
  std::vector<float> row(static_cast<size_t>(source.columns));
  Bytes out;
  out.reserve(static_cast<size_t>(*gguf_tensor_bytes(written.type, written.shape)));
  const bool vector = written.shape.size() == 1 && change.paired_heads > 0;  // a bias: its values are the rows
  for (int64_t r = 0; r < source.rows; ++r) {
    const auto from = static_cast<size_t>(source_row(r, source.rows, vector ? 0 : change.paired_heads));
    ggml_dequantize(source.type, source.data.subspan(from * row_bytes, row_bytes), row);
    if (vector) {
      const auto held = row;
      for (int64_t i = 0; i < source.columns; ++i)
        row[static_cast<size_t>(i)] = held[static_cast<size_t>(source_row(i, source.columns, change.paired_heads))];
    }
    if (change.added != 0)
      for (float& x : row) x += change.added;
    if (!ggml_fits(written.type, row))
      return fail(ErrorCode::kBadInput,
                  fmt::format("tensor {} has values that {} can't hold", written.name, ggml_format(written.type).name),
                  "choose --type bf16 or f32");
    ggml_quantize(written.type, row, out);
  }
  return out;
}

// Two dimensions take the type asked for, if their rows are whole blocks of it.
GgmlType stored_type(GgmlType wanted, const std::vector<int64_t>& shape) {
  if (shape.size() < 2) return GgmlType::kF32;
  return shape.back() % ggml_format(wanted).block == 0 ? wanted : GgmlType::kF16;
}

Status write(const std::vector<GgufEntry>& metadata, const std::vector<Planned>& tensors,
             const std::filesystem::path& out) {
  std::vector<GgufTensorToWrite> written;
  written.reserve(tensors.size());
  for (const auto& tensor : tensors) written.push_back(tensor.written);
  return write_gguf_file(out, metadata, written, [&](size_t i) { return convert(tensors[i]); });
}

std::vector<GgufEntry> metadata_of(const char* type, const GgufSettings& settings, const GgufOptions& options) {
  std::vector<GgufEntry> out{{"general.architecture", settings.architecture}, {"general.type", std::string(type)}};
  if (!options.name.empty()) out.push_back({"general.name", options.name});
  return out;
}

// What Llama 3's positions divide each frequency by.
std::vector<float> llama3_factors(const RopeConfig& rope, int64_t rotated) {
  std::vector<float> out;
  const auto original = static_cast<double>(rope.original_positions);
  for (int64_t i = 0; i < rotated; i += 2) {
    const double wave =
        2 * std::numbers::pi * std::pow(rope.theta, static_cast<double>(i) / static_cast<double>(rotated));
    double factor = 1;
    if (wave > original / rope.low_freq_factor) {
      factor = rope.factor;
    } else if (wave >= original / rope.high_freq_factor) {
      const double smooth = (original / wave - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
      factor = 1 / ((1 - smooth) / rope.factor + smooth);
    }
    out.push_back(static_cast<float>(factor));
  }
  return out;
}

// Tensors that aren't in the checkpoint. `held` keeps their bytes.
std::vector<Planned> factor_tensors(const ModelConfig& c, std::vector<Bytes>& held) {
  std::vector<std::pair<std::string, std::vector<float>>> lists;
  const auto& rope = c.ropes[0];
  if (rope.type == RopeConfig::Type::kLlama3)
    lists.emplace_back("rope_freqs.weight", llama3_factors(rope, c.rotated()));
  if (rope.type == RopeConfig::Type::kLongRope) {
    lists.emplace_back("rope_factors_long.weight",
                       std::vector<float>(rope.long_factors.begin(), rope.long_factors.end()));
    lists.emplace_back("rope_factors_short.weight",
                       std::vector<float>(rope.short_factors.begin(), rope.short_factors.end()));
  }
  std::vector<Planned> out;
  held.reserve(lists.size());
  for (const auto& [name, values] : lists) {
    Bytes bytes;
    ggml_quantize(GgmlType::kF32, values, bytes);
    held.push_back(std::move(bytes));
    const auto n = static_cast<int64_t>(values.size());
    out.push_back({{name, GgmlType::kF32, {n}}, {GgmlType::kF32, held.back(), 1, n}, {}});
  }
  return out;
}

}  // namespace

std::vector<std::string> gguf_tensor_names(const ModelConfig& c) {
  const auto& n = *c.names;
  std::map<std::string_view, std::string> in_layer{{n.norm1, "attn_norm"},
                                                   {n.post_norm1, "post_attention_norm"},
                                                   {n.norm2, "ffn_norm"},
                                                   {n.post_norm2, "post_ffw_norm"},
                                                   {n.o, "attn_output"},
                                                   {n.down, "ffn_down"},
                                                   {"self_attn.q_norm", "attn_q_norm"},
                                                   {"self_attn.k_norm", "attn_k_norm"}};
  if (n.qkv[1].empty()) {
    in_layer[n.qkv[0]] = "attn_qkv";
  } else {
    const char* names[] = {"attn_q", "attn_k", "attn_v"};
    for (size_t i = 0; i < 3; ++i) in_layer[n.qkv[i]] = names[i];
  }
  in_layer[n.up[0]] = n.up[1].empty() ? "ffn_up" : "ffn_gate";
  if (!n.up[1].empty()) in_layer[n.up[1]] = "ffn_up";

  const std::string layers = "model.layers.", final_norm = fmt::format("model.{}", n.final_norm);
  std::vector<std::string> out;
  for (const auto& tensor : checkpoint_tensors(c)) {
    const size_t dot = tensor.name.rfind('.');
    const std::string module = tensor.name.substr(0, dot), part = tensor.name.substr(dot);  // ".weight", ".bias"
    if (module.starts_with(layers)) {
      const size_t end = module.find('.', layers.size());
      out.push_back(fmt::format("blk.{}.{}{}", module.substr(layers.size(), end - layers.size()),
                                in_layer.at(std::string_view(module).substr(end + 1)), part));
    } else {
      out.push_back((module == final_norm ? "output_norm" : module == "lm_head" ? "output" : "token_embd") + part);
    }
  }
  return out;
}

Status write_gguf_model(const std::filesystem::path& dir, const GgufOptions& options,
                        const std::filesystem::path& out) {
  SLM_TRY(const ModelConfig config, read_config(dir));
  SLM_TRY(const GgufSettings settings, gguf_settings(config));
  SLM_TRY(const WeightFiles files, WeightFiles::open(dir));
  std::vector<Bytes> held;
  std::vector<Planned> tensors = factor_tensors(config, held);
  const auto wanted = checkpoint_tensors(config);
  const auto names = gguf_tensor_names(config);
  const std::string head = config.tied_embeddings ? "token_embd.weight" : "output.weight";
  for (size_t i = 0; i < wanted.size(); ++i) {
    const TensorView* view = files.find(wanted[i].name);
    if (view == nullptr || view->shape != wanted[i].shape)
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: tensor {} is missing or of another shape than config.json says", dir.string(),
                              wanted[i].name));
    Planned tensor;
    SLM_TRY(tensor.source, source_of(*view, wanted[i].name));
    const bool finer = options.type == GgmlType::kQ4_0 && names[i] == head;
    tensor.written = {names[i], stored_type(finer ? GgmlType::kQ8_0 : options.type, view->shape), view->shape};
    tensor.change.paired_heads = paired_heads(config, settings, wanted[i].name);
    if (config.norm == Norm::kRmsPlusOne && names[i].ends_with("norm.weight")) tensor.change.added = 1;
    tensors.push_back(std::move(tensor));
  }
  auto metadata = metadata_of("model", settings, options);
  const auto& format = ggml_format(options.type);
  metadata.push_back({"general.file_type", format.file_type});
  if (format.block > 1) metadata.push_back({"general.quantization_version", uint32_t{2}});
  metadata.insert(metadata.end(), settings.metadata.begin(), settings.metadata.end());
  metadata.insert(metadata.end(), options.extra.begin(), options.extra.end());
  return write(metadata, tensors, out);
}

Status write_gguf_adapter(const std::filesystem::path& base, const AdapterFiles& adapter, const GgufOptions& options,
                          const std::filesystem::path& out) {
  if (ggml_format(options.type).block > 1)
    return fail(ErrorCode::kUsage,
                fmt::format("an adapter as {}; known: f32, f16, bf16", ggml_format(options.type).name));
  SLM_TRY(const ModelConfig config, read_config(base));
  SLM_TRY(const GgufSettings settings, gguf_settings(config));
  SLM_TRY(const Adapter parsed, parse_adapter(adapter));
  if (parsed.config.dora)
    return fail(ErrorCode::kUnsupportedModel, "llama.cpp's adapters know no DoRA",
                "export the merged model instead: slmconv models export TASK --out FILE.gguf --gguf model");
  const double scale = parsed.config.scale();
  if (scale == 0) return fail(ErrorCode::kUnsupportedModel, "llama.cpp takes an adapter's alpha of 0 for 1");
  const auto checkpoint = checkpoint_tensors(config);
  const auto names = gguf_tensor_names(config);
  std::map<std::string, size_t> place;
  for (size_t i = 0; i < checkpoint.size(); ++i) place[checkpoint[i].name] = i;

  std::vector<Planned> tensors;
  for (const auto& pair : parsed.pairs) {
    const auto found = place.find(pair.module + ".weight");
    const auto rank = pair.a.size(0);
    if (found == place.end())
      return fail(ErrorCode::kManifestMismatch,
                  fmt::format("{} isn't a linear of {}", pair.module, config.architecture));
    const auto& shape = checkpoint[found->second].shape;
    if (pair.a.size(1) != shape[1] || pair.b.size(0) != shape[0] || pair.b.size(1) != rank ||
        rank != parsed.config.rank)
      return fail(ErrorCode::kManifestMismatch,
                  fmt::format("adapter for {} doesn't fit a weight of {} x {}", pair.module, shape[0], shape[1]));
    const auto add = [&](const at::Tensor& t, const char* ending, int64_t heads) {
      const std::vector<int64_t> sizes = t.sizes().vec();
      const ByteSpan bytes{static_cast<const uint8_t*>(t.data_ptr()), static_cast<size_t>(t.nbytes())};
      tensors.push_back({{names[found->second] + ending, options.type, sizes},
                         {GgmlType::kF32, bytes, sizes[0], sizes[1]},
                         {heads, 0}});
    };
    add(pair.a, ".lora_a", 0);
    add(pair.b, ".lora_b", paired_heads(config, settings, found->first));
  }
  auto metadata = metadata_of("adapter", settings, options);
  metadata.push_back({"adapter.type", std::string("lora")});
  metadata.push_back({"adapter.lora.alpha", static_cast<float>(scale * static_cast<double>(parsed.config.rank))});
  metadata.push_back({"general.file_type", ggml_format(options.type).file_type});
  return write(metadata, tensors, out);
}

}  // namespace slm::nn

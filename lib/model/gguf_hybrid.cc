#include "model/gguf_hybrid.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "nn/safetensors.h"
#include "schema/json.h"

namespace slm::model {
namespace {

using nn::GgmlType;
using nn::Mixer;
using nn::ModelConfig;
using Gate = nn::MambaConfig::Gate;

// What llama.cpp computes for a family.
struct Target {
  std::string_view model_type, architecture;
  nn::Activation activation = nn::Activation::kSilu;
  bool narrow_heads = true;   // heads × head_dim may differ from the width
  bool o_bias = false;        // a bias of attention's output
  bool plain_gate = false;    // Mamba's gate without a norm after it
  bool inner_double = false;  // Mamba is twice as wide as the model, always
  bool pairs = false;         // rotated pairs lie side by side, or would: also where nothing is rotated
};
constexpr Target kTargets[] = {
    {.model_type = "lfm2", .architecture = "lfm2", .narrow_heads = false},
    {.model_type = "granitemoehybrid",
     .architecture = "granitehybrid",
     .o_bias = true,
     .inner_double = true,
     .pairs = true},
    {.model_type = "nemotron_h",
     .architecture = "nemotron_h",
     .activation = nn::Activation::kReluSquared,
     .o_bias = true,
     .pairs = true},
    {.model_type = "falcon_h1", .architecture = "falcon-h1", .plain_gate = true},
};

const Target* target_of(const ModelConfig& c) {
  const auto* found = std::find_if(std::begin(kTargets), std::end(kTargets),
                                   [&](const Target& t) { return t.model_type == c.model_type; });
  return found == std::end(kTargets) ? nullptr : found;
}

tl::unexpected<Error> refuse(const Target& target, std::string_view what) {
  return fail(
      ErrorCode::kUnsupportedModel,
      fmt::format("llama.cpp's {} has no {}, so there is no GGUF file of this model", target.architecture, what),
      "slmconv models export TASK --out DIR --merged");
}

bool has_mamba(const ModelConfig& c) {
  for (int64_t i = 0; i < c.n_layers; ++i)
    if (c.layer(i).has_mamba()) return true;
  return false;
}

bool rotates(const ModelConfig& c) {
  for (int64_t i = 0; i < c.n_layers; ++i)
    if (c.layer(i).attends() && c.layer(i).rope >= 0) return true;
  return false;
}

Status check_mamba(const nn::MambaConfig& m, int64_t width, const Target& target) {
  if (target.inner_double && m.inner() != 2 * width)
    return refuse(target, fmt::format("Mamba layer of {} values in a width of {}", m.inner(), width));
  if (m.dt_min > 0 || m.dt_max > 0) return refuse(target, "limits of Mamba's time steps (time_step_limit)");
  if (!m.conv_bias) return refuse(target, "Mamba convolution without a bias");
  if (m.in_bias || m.out_bias) return refuse(target, "biases of Mamba's projections");
  if (m.gate == Gate::kAfterNorm) return refuse(target, "norm before Mamba's gate");
  if (m.gate == Gate::kPlain && !target.plain_gate) return refuse(target, "Mamba layer without a norm");
  return {};
}

Status check(const ModelConfig& c, const Target& target) {
  if (c.activation != target.activation) return refuse(target, "activation like this one's");
  if (!target.narrow_heads && c.n_heads * c.head_dim != c.width)
    return refuse(target, fmt::format("{} heads of {} in a width of {}", c.n_heads, c.head_dim, c.width));
  if (c.rotated() != c.head_dim)
    return refuse(target, fmt::format("rotation of {} of a head's {} values", c.rotated(), c.head_dim));
  if (c.o_bias && !target.o_bias) return refuse(target, "bias of attention's output (attention_bias)");
  for (int64_t i = 0; i < c.n_layers; ++i)
    if (c.layer(i).window > 0) return refuse(target, "sliding windows");
  if (rotates(c) && c.ropes[0].type != nn::RopeConfig::Type::kDefault) return refuse(target, "scaled positions");
  if (has_mamba(c)) SLM_CHECK(check_mamba(c.mamba, c.width, target));
  for (int64_t i = 0; i < c.n_layers; ++i)
    if (c.layer(i).mixer == Mixer::kShortConv && (c.short_conv.bias || c.short_conv.kernel < 2))
      return refuse(target, c.short_conv.bias ? "biases of the short convolutions (conv_bias)"
                                              : "short convolution over one token");
  return {};
}

// Of a layer's modules below its prefix.
std::map<std::string, std::string, std::less<>> names_in_layer(const ModelConfig& c) {
  const auto& n = *c.names;
  const bool conv = c.model_type == "lfm2";
  const std::string recurrent(n.recurrent);
  std::map<std::string, std::string, std::less<>> out{
      {std::string(n.norm1), "attn_norm"},
      {std::string(n.qkv[0]), "attn_q"},
      {std::string(n.qkv[1]), "attn_k"},
      {std::string(n.qkv[2]), "attn_v"},
      {std::string(n.q_norm), "attn_q_norm"},
      {std::string(n.k_norm), "attn_k_norm"},
      {std::string(n.o), "attn_output"},
      {std::string(n.down), "ffn_down"},
      {recurrent + ".in_proj", conv ? "shortconv.in_proj" : "ssm_in"},
      {recurrent + ".out_proj", conv ? "shortconv.out_proj" : "ssm_out"},
      {recurrent + ".conv", "shortconv.conv"},
      {recurrent + ".conv1d", "ssm_conv1d"},
      {recurrent + ".norm", "ssm_norm"}};
  if (!n.norm2.empty()) out[std::string(n.norm2)] = "ffn_norm";
  out[std::string(n.up[0])] = c.gated && !n.up[1].empty() ? "ffn_gate" : "ffn_up";
  if (!n.up[1].empty()) out[std::string(n.up[1])] = "ffn_up";
  return out;
}

// Falcon-H1's factors, which llama.cpp expects in the weights.
std::vector<float> factors_of(const ModelConfig& c, std::string_view gguf_name, int64_t rows) {
  if (c.model_type != "falcon_h1") return {};
  const auto& s = c.scales;
  const auto& m = c.mamba;
  std::vector<float> out;
  const auto add = [&](int64_t n, double factor) {
    out.insert(out.end(), static_cast<size_t>(n), static_cast<float>(factor));
  };
  const double key = c.score_scale() * std::sqrt(static_cast<double>(c.head_dim));
  const std::map<std::string_view, double> whole{{"token_embd", c.embedding_scale},
                                                 {"output", 1 / c.logit_divisor},
                                                 {"attn_q", s.attention_in},
                                                 {"attn_k", s.attention_in * key},
                                                 {"attn_v", s.attention_in},
                                                 {"attn_output", s.attention_out},
                                                 {"ssm_out", s.mamba_out},
                                                 {"ffn_gate", s.gate},
                                                 {"ffn_down", s.down}};
  if (const auto found = whole.find(gguf_name); found != whole.end()) add(rows, found->second);
  if (gguf_name == "ssm_in") {
    const int64_t parts[] = {m.inner(), m.inner(), m.n_groups * m.state, m.n_groups * m.state, m.n_heads};
    for (size_t i = 0; i < std::size(parts); ++i) add(parts[i], s.mamba_in * m.multipliers[i]);
  }
  return out;
}

int64_t product(const std::vector<int64_t>& shape) {
  int64_t out = 1;
  for (const int64_t n : shape) out *= n;
  return out;
}

// One of the checkpoint's as it is, but for its name.
GgufHybridTensor plain(const nn::CheckpointTensor& tensor, std::string name) {
  GgufHybridTensor out{.from = tensor.name, .name = std::move(name), .from_shape = tensor.shape, .shape = tensor.shape};
  out.columns = tensor.shape.size() == 1 ? 1 : tensor.shape.back();
  out.rows = product(tensor.shape) / out.columns;
  out.in_f32 = tensor.shape.size() == 1;
  return out;
}

// Mamba's vectors and the convolutions.
void set_shape(const ModelConfig& c, std::string_view module, GgufHybridTensor& out) {
  if (module == "ssm_a" || module == "ssm_d") out.shape = {out.rows, 1};
  if (module == "ssm_norm") out.shape = {c.mamba.n_groups, c.mamba.inner() / c.mamba.n_groups};
  if (out.from_shape.size() == 3) out.shape = {out.rows, out.columns};
  out.in_f32 = out.in_f32 || out.from_shape.size() == 3;
  out.minus_exp = module == "ssm_a";
}

void add_layer_tensor(const ModelConfig& c, const nn::CheckpointTensor& tensor, std::vector<GgufHybridTensor>& out) {
  const std::string start = fmt::format("{}layers.", c.names->root);
  const size_t end = tensor.name.find('.', start.size());
  const std::string block = fmt::format("blk.{}.", tensor.name.substr(start.size(), end - start.size()));
  const std::string rest = tensor.name.substr(end + 1);
  const std::string recurrent(c.names->recurrent);
  const size_t dot = rest.rfind('.');
  std::string module, part = rest.substr(dot);  // ".weight", ".bias"
  if (rest == recurrent + ".A_log" || rest == recurrent + ".D") {
    module = rest.ends_with('D') ? "ssm_d" : "ssm_a";
    part = "";
  } else if (rest == recurrent + ".dt_bias") {
    module = "ssm_dt";
    part = ".bias";
  } else {
    module = names_in_layer(c).at(rest.substr(0, dot));
  }
  if (module == "ffn_norm" && c.model_type == "falcon_h1") part = "";  // llama.cpp looks for it by this name
  GgufHybridTensor made = plain(tensor, block + module + part);
  set_shape(c, module, made);
  const bool paired = target_of(c)->pairs;
  if (paired && module == "attn_q") made.paired_heads = c.n_heads;
  if (paired && module == "attn_k") made.paired_heads = c.n_kv_heads;
  made.factors = factors_of(c, module, made.rows);
  if (c.gated && module == "ffn_up" && c.names->up[1].empty()) {  // gate and up in one
    made.rows /= 2;
    made.shape[0] /= 2;
    GgufHybridTensor gate = made;
    gate.name = block + "ffn_gate" + part;
    made.first = made.rows;
    out.push_back(std::move(gate));
  }
  out.push_back(std::move(made));
}

// Rows of a checkpoint's tensor, or of an adapter's.
struct Planned {
  nn::GgufTensorToWrite written;
  GgmlType held = GgmlType::kF32;
  ByteSpan data;
  GgufHybridTensor how;
};

Result<GgmlType> held_type(const nn::TensorView& view, const std::string& name) {
  if (view.dtype == "F32") return GgmlType::kF32;
  if (view.dtype == "F16") return GgmlType::kF16;
  if (view.dtype == "BF16") return GgmlType::kBF16;
  return fail(ErrorCode::kUnsupportedModel,
              fmt::format("tensor {} is of type {}; known: F32, F16, BF16", name, view.dtype));
}

// The checkpoint's row that becomes row `row`.
int64_t source_row(const GgufHybridTensor& how, int64_t row) {
  if (how.paired_heads == 0) return how.first + row;
  const int64_t head = how.rows / how.paired_heads, at = row % head;
  return how.first + row - at + at % 2 * (head / 2) + at / 2;
}

Result<Bytes> convert(const Planned& tensor) {
  const auto& how = tensor.how;
  const auto row_bytes = static_cast<size_t>(*nn::gguf_tensor_bytes(tensor.held, {how.columns}));
  std::vector<float> row(static_cast<size_t>(how.columns));
  Bytes out;
  out.reserve(static_cast<size_t>(*nn::gguf_tensor_bytes(tensor.written.type, tensor.written.shape)));
  for (int64_t r = 0; r < how.rows; ++r) {
    const int64_t from = source_row(how, r);
    nn::ggml_dequantize(tensor.held, tensor.data.subspan(static_cast<size_t>(from) * row_bytes, row_bytes), row);
    if (!how.factors.empty())
      for (float& x : row) x *= how.factors[static_cast<size_t>(from)];
    if (how.minus_exp)
      for (float& x : row) x = -std::exp(x);
    if (!nn::ggml_fits(tensor.written.type, row))
      return fail(ErrorCode::kBadInput,
                  fmt::format("tensor {} has values that {} can't hold", tensor.written.name,
                              nn::ggml_format(tensor.written.type).name),
                  "choose --type bf16 or f32");
    nn::ggml_quantize(tensor.written.type, row, out);
  }
  return out;
}

Status write(const std::vector<nn::GgufEntry>& metadata, const std::vector<Planned>& tensors,
             const std::filesystem::path& out) {
  std::vector<nn::GgufTensorToWrite> written;
  written.reserve(tensors.size());
  for (const auto& tensor : tensors) written.push_back(tensor.written);
  return nn::write_gguf_file(out, metadata, written, [&](size_t i) { return convert(tensors[i]); });
}

std::vector<nn::GgufEntry> metadata_of(const char* type, const nn::GgufSettings& settings,
                                       const nn::GgufOptions& options) {
  std::vector<nn::GgufEntry> out{{"general.architecture", settings.architecture}, {"general.type", std::string(type)}};
  if (!options.name.empty()) out.push_back({"general.name", options.name});
  out.push_back({"general.file_type", nn::ggml_format(options.type).file_type});
  return out;
}

// What an adapter's configuration says, as far as llama.cpp can say it. Source: peft `tuners/lora/config.py`.
struct LoraSettings {
  int64_t rank = 0;
  double alpha = 0;  // that divided by the rank is the scale
};
Result<LoraSettings> lora_settings(const std::string& config_json) {
  SLM_TRY(const json::value value, parse_json(config_json));
  SLM_TRY(const json::object* config, want_object(value, "adapter_config.json"));
  constexpr std::string_view kMerge =
      "export the merged model instead: slmconv models export TASK --out FILE.gguf --gguf model";
  if (get_bool(*config, "use_dora").value_or(false))
    return fail(ErrorCode::kUnsupportedModel, "llama.cpp's adapters know no DoRA", std::string(kMerge));
  for (const char* key : {"rank_pattern", "alpha_pattern"})
    if (const auto* pattern = get_object(*config, key); pattern != nullptr && !pattern->empty())
      return fail(ErrorCode::kUnsupportedModel, fmt::format("an adapter with {}", key), std::string(kMerge));
  if (const auto* whole = get_array(*config, "modules_to_save"); whole != nullptr && !whole->empty())
    return fail(ErrorCode::kUnsupportedModel, "an adapter with modules_to_save", std::string(kMerge));
  LoraSettings out;
  out.rank = get_int(*config, "r").value_or(0);
  const auto* alpha = find(*config, "lora_alpha");
  if (out.rank <= 0 || alpha == nullptr || !alpha->is_number())
    return fail(ErrorCode::kBadInput, "adapter_config.json: r or lora_alpha is missing");
  out.alpha = alpha->to_number<double>();
  if (get_bool(*config, "use_rslora").value_or(false)) out.alpha *= std::sqrt(static_cast<double>(out.rank));
  if (out.alpha == 0) return fail(ErrorCode::kUnsupportedModel, "llama.cpp takes an adapter's alpha of 0 for 1");
  return out;
}

constexpr std::string_view kAdapterPrefix = "base_model.model.";  // before a module's name in an adapter

Result<const nn::TensorView*> adapter_tensor(const nn::SafeTensors& file, const std::string& module, const char* half,
                                             std::vector<int64_t> shape) {
  const auto found = file.tensors().find(fmt::format("{}{}.{}.weight", kAdapterPrefix, module, half));
  if (found == file.tensors().end())
    return fail(ErrorCode::kBadInput, fmt::format("the adapter for {} has no {}", module, half));
  if (found->second.shape != shape)
    return fail(ErrorCode::kManifestMismatch,
                fmt::format("adapter for {} doesn't fit: {} isn't {} x {}", module, half, shape[0], shape[1]));
  return &found->second;
}

}  // namespace

bool is_gguf_hybrid(const ModelConfig& config) { return target_of(config) != nullptr; }

Result<nn::GgufSettings> gguf_hybrid_settings(const ModelConfig& c) {
  const Target* target = target_of(c);
  if (target == nullptr)
    return fail(ErrorCode::kUnsupportedModel, fmt::format("model_type \"{}\" is no hybrid", c.model_type));
  SLM_CHECK(check(c, *target));
  nn::GgufSettings out;
  const bool granite = c.model_type == "granitemoehybrid", nemotron = c.model_type == "nemotron_h";
  out.architecture = granite && !c.recurs() ? "granite" : target->architecture;
  out.context = c.max_positions;
  out.pairs = target->pairs;
  const std::string prefix = out.architecture + ".";
  auto& metadata = out.metadata;
  const auto put = [&](const char* key, int64_t n) { metadata.push_back({prefix + key, static_cast<uint32_t>(n)}); };
  const auto put_real = [&](const char* key, double x) { metadata.push_back({prefix + key, static_cast<float>(x)}); };
  // By these llama.cpp tells what a layer is.
  std::vector<int32_t> kv_heads, ffn_widths;
  for (int64_t i = 0; i < c.n_layers; ++i) {
    kv_heads.push_back(static_cast<int32_t>(c.layer(i).attends() ? c.n_kv_heads : 0));
    ffn_widths.push_back(static_cast<int32_t>(c.layer(i).ffn ? c.ffn_width : 0));
  }
  put("vocab_size", c.vocab_size);
  put("context_length", c.max_positions);
  put("embedding_length", c.width);
  put("block_count", c.n_layers);
  nemotron ? metadata.push_back({prefix + "feed_forward_length", ffn_widths}) : put("feed_forward_length", c.ffn_width);
  put("attention.head_count", c.n_heads);
  metadata.push_back({prefix + "attention.head_count_kv", kv_heads});
  put("attention.key_length", c.head_dim);
  put("attention.value_length", c.head_dim);
  put_real("attention.layer_norm_rms_epsilon", c.norm_eps);
  if (nemotron) put_real("attention.layer_norm_epsilon", c.norm_eps);
  put("rope.dimension_count", c.rotated());
  put_real("rope.freq_base", c.ropes[0].theta);
  if (granite) {
    metadata.push_back({prefix + "rope.scaling.finetuned", rotates(c)});  // whether there are positions at all
    put_real("attention.scale", c.score_scale());
    put_real("embedding_scale", c.embedding_scale);
    put_real("residual_scale", c.residual_scale);
    put_real("logit_scale", c.logit_divisor);
  }
  if (has_mamba(c)) {
    put("ssm.conv_kernel", c.mamba.kernel);
    put("ssm.inner_size", c.mamba.inner());
    put("ssm.state_size", c.mamba.state);
    put("ssm.time_step_rank", c.mamba.n_heads);
    put("ssm.group_count", c.mamba.n_groups);
  }
  if (c.model_type == "lfm2") put("shortconv.l_cache", c.short_conv.kernel);
  return out;
}

std::vector<GgufHybridTensor> gguf_hybrid_tensors(const ModelConfig& c) {
  const std::string layers = fmt::format("{}layers.", c.names->root);
  const std::string final_norm = fmt::format("{}{}.weight", c.names->root, c.names->final_norm);
  std::vector<GgufHybridTensor> out;
  for (const auto& tensor : nn::checkpoint_tensors(c)) {
    if (tensor.name.starts_with(layers)) {
      add_layer_tensor(c, tensor, out);
    } else if (tensor.name == final_norm) {
      out.push_back(plain(tensor, c.model_type == "lfm2" ? "token_embd_norm.weight" : "output_norm.weight"));
    } else {
      const bool head = tensor.name == "lm_head.weight";
      out.push_back(plain(tensor, head ? "output.weight" : "token_embd.weight"));
      out.back().factors = factors_of(c, head ? "output" : "token_embd", out.back().rows);
    }
  }
  if (c.tied_embeddings && c.model_type == "falcon_h1") {  // each has a factor of its own
    GgufHybridTensor head = out.front();
    head.name = "output.weight";
    head.factors = factors_of(c, "output", head.rows);
    out.push_back(std::move(head));
  }
  return out;
}

Status write_gguf_hybrid(const std::filesystem::path& dir, const nn::GgufOptions& options,
                         const std::filesystem::path& out) {
  SLM_TRY(const ModelConfig config, nn::read_config(dir));
  SLM_TRY(const auto settings, gguf_hybrid_settings(config));
  SLM_TRY(const auto files, nn::WeightFiles::open(dir));
  const auto wanted = gguf_hybrid_tensors(config);
  const bool own_head =
      std::any_of(wanted.begin(), wanted.end(), [](const auto& t) { return t.name == "output.weight"; });
  const std::string_view head = own_head ? "output.weight" : "token_embd.weight";
  std::vector<Planned> tensors;
  for (const auto& how : wanted) {
    const auto* view = nn::find_tensor(files, config, how.from);
    if (view == nullptr || view->shape != how.from_shape)
      return fail(
          ErrorCode::kBadInput,
          fmt::format("{}: tensor {} is missing or of another shape than config.json says", dir.string(), how.from));
    SLM_TRY(const GgmlType held, held_type(*view, how.from));
    GgmlType type = options.type == GgmlType::kQ4_0 && how.name == head ? GgmlType::kQ8_0 : options.type;
    if (how.columns % nn::ggml_format(type).block != 0) type = GgmlType::kF16;
    if (how.in_f32) type = GgmlType::kF32;
    tensors.push_back({{how.name, type, how.shape}, held, view->data, how});
  }
  auto metadata = metadata_of("model", settings, options);
  if (nn::ggml_format(options.type).block > 1) metadata.push_back({"general.quantization_version", uint32_t{2}});
  metadata.insert(metadata.end(), settings.metadata.begin(), settings.metadata.end());
  metadata.insert(metadata.end(), options.extra.begin(), options.extra.end());
  return write(metadata, tensors, out);
}

Status write_gguf_hybrid_adapter(const std::filesystem::path& base, const nn::AdapterFiles& adapter,
                                 const nn::GgufOptions& options, const std::filesystem::path& out) {
  if (nn::ggml_format(options.type).block > 1)
    return fail(ErrorCode::kUsage,
                fmt::format("an adapter as {}; known: f32, f16, bf16", nn::ggml_format(options.type).name));
  SLM_TRY(const ModelConfig config, nn::read_config(base));
  SLM_TRY(const auto settings, gguf_hybrid_settings(config));
  SLM_TRY(const auto lora, lora_settings(adapter.config_json));
  SLM_TRY(const auto file, nn::SafeTensors::from_bytes(adapter.weights, "adapter_model.safetensors"));
  std::map<std::string, std::vector<const GgufHybridTensor*>> places;
  const auto all = gguf_hybrid_tensors(config);
  for (const auto& tensor : all)
    if (tensor.from_shape.size() == 2 && tensor.name.starts_with("blk.")) places[tensor.from].push_back(&tensor);

  std::vector<Planned> tensors;
  for (const auto& [key, unused] : file.tensors()) {
    constexpr std::string_view kA = ".lora_A.weight", kB = ".lora_B.weight";
    const bool is_a = key.ends_with(kA);
    if (!key.starts_with(kAdapterPrefix) || (!is_a && !key.ends_with(kB)))
      return fail(ErrorCode::kUnsupportedModel, fmt::format("an adapter with a tensor {}", key));
    const std::string module =
        key.substr(kAdapterPrefix.size(), key.size() - kAdapterPrefix.size() - (is_a ? kA : kB).size());
    const auto found = places.find(nn::own_name(config, module + ".weight"));
    if (found == places.end())
      return fail(ErrorCode::kManifestMismatch, fmt::format("{} isn't a linear of {}", module, config.architecture));
    const auto& whole = found->second.front()->from_shape;
    SLM_TRY(const auto* a, adapter_tensor(file, module, "lora_A", {lora.rank, whole[1]}));
    SLM_TRY(const auto* b, adapter_tensor(file, module, "lora_B", {whole[0], lora.rank}));
    if (!is_a) continue;  // both are there
    SLM_TRY(const GgmlType a_held, held_type(*a, module));
    SLM_TRY(const GgmlType b_held, held_type(*b, module));
    for (const auto* place : found->second) {
      const GgufHybridTensor as_is{.rows = lora.rank, .columns = whole[1]};
      tensors.push_back({{place->name + ".lora_a", options.type, {lora.rank, whole[1]}}, a_held, a->data, as_is});
      GgufHybridTensor rows = *place;
      rows.columns = lora.rank;
      tensors.push_back({{place->name + ".lora_b", options.type, {rows.rows, lora.rank}}, b_held, b->data, rows});
    }
  }
  auto metadata = metadata_of("adapter", settings, options);
  metadata.push_back({"adapter.type", std::string("lora")});
  metadata.push_back({"adapter.lora.alpha", static_cast<float>(lora.alpha)});
  return write(metadata, tensors, out);
}

}  // namespace slm::model

// Engine on top of the decoder: ids and float vectors at its edge, torch inside.
#include "nn/engine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/log.h"
#include "nn/adapter.h"
#include "nn/decoder.h"
#include "nn/kernels.h"
#include "nn/plan.h"

namespace slm::nn {

namespace {

struct TorchCache final : Cache {
  std::vector<Decoder::LayerCache> layers;
  int64_t capacity = 0;  // of keys and values
  std::vector<int64_t> lengths;
  std::vector<int32_t> rope_keys;  // of the prompts; empty: all 0
  size_t n_rows() const override { return lengths.size(); }
  int64_t length(size_t row) const override { return lengths[row]; }
};

// Room in the cache beyond the prompts before it must grow.
constexpr int64_t kSpareTokens = 64;

void copy_out(const at::Tensor& logits, std::vector<float>& out) {
  const at::Tensor flat = logits.to(at::kFloat).cpu().contiguous();
  out.assign(flat.data_ptr<float>(), flat.data_ptr<float>() + flat.numel());
}

class TorchEngine final : public Engine {
 public:
  TorchEngine(Decoder decoder, DType dtype, int threads)
      : decoder_(std::move(decoder)), dtype_(dtype), threads_(threads) {}

  const ModelConfig& config() const override { return decoder_.config(); }
  DType dtype() const override { return dtype_; }

  Status set_adapter(const AdapterFiles& files) override {
    if (files.nf4_base && decoder_.options().nf4 == Nf4Base::kNo)
      return fail(ErrorCode::kManifestMismatch, "the adapter was trained over a base in NF4, this base is not",
                  "load the base with --nf4");
    if (files.full) {
      SLM_TRY(auto weights, SafeTensors::from_bytes(files.weights, "model.safetensors"));
      SLM_TRY(full_, Decoder::from_weights(config(), WeightFiles::of(std::move(weights)), decoder_.options()));
      return {};
    }
    SLM_TRY(auto adapter, parse_adapter(files));
    full_.reset();
    return decoder_.set_lora(adapter.config, std::move(adapter.pairs), false);
  }
  void clear_adapter() override {
    full_.reset();
    decoder_.clear_lora();
  }

  Result<std::vector<float>> logits(std::span<const int32_t> ids) override {
    const Sequence prompt{{ids.begin(), ids.end()}, ids.size(), 0, rope_key(config(), std::ssize(ids))};
    SLM_CHECK(check_prompt(prompt.ids));
    use_threads();
    return guarded([&]() -> Result<std::vector<float>> {
      std::vector<float> out;
      const auto batch = make_forests({&prompt, 1}, {});
      copy_out(active().logits(batch[0]), out);
      return out;
    });
  }

  Result<std::unique_ptr<Cache>> prefill(std::span<const std::vector<int32_t>> prompts,
                                         std::vector<float>& logits) override {
    if (prompts.empty()) return fail(ErrorCode::kUsage, "prefill of no prompts");
    for (const auto& prompt : prompts) SLM_CHECK(check_prompt(prompt));
    use_threads();
    return guarded([&]() -> Result<std::unique_ptr<Cache>> {
      auto cache = std::make_unique<TorchCache>();
      int64_t longest = 0;
      for (const auto& prompt : prompts) {
        cache->lengths.push_back(static_cast<int64_t>(prompt.size()));
        cache->rope_keys.push_back(rope_key(config(), cache->lengths.back()));
        longest = std::max(longest, cache->lengths.back());
      }
      cache->capacity = longest + kSpareTokens;
      copy_out(active().prefill(prompts, cache->capacity, cache->layers), logits);
      return std::unique_ptr<Cache>(std::move(cache));
    });
  }

  Status step(Cache& cache, std::span<const int32_t> ids, std::vector<float>& logits) override {
    auto& c = static_cast<TorchCache&>(cache);
    if (ids.size() != c.lengths.size())
      return fail(ErrorCode::kUsage,
                  fmt::format("step of {} tokens for a cache of {} rows", ids.size(), c.lengths.size()));
    for (const int32_t id : ids) SLM_CHECK(check_id(id));
    if (ids.empty()) {
      logits.clear();
      return {};
    }
    const int64_t longest = *std::max_element(c.lengths.begin(), c.lengths.end());
    if (longest >= config().max_positions)
      return fail(ErrorCode::kBadInput,
                  fmt::format("a row has {} tokens, the model's context is {}", longest, config().max_positions));
    use_threads();
    return guarded([&]() -> Status {
      if (longest >= c.capacity) grow(c, std::min(config().max_positions, c.capacity * 3 / 2 + kSpareTokens));
      copy_out(active().step({{ids.begin(), ids.end()}, c.lengths, c.rope_keys}, c.layers), logits);
      for (auto& length : c.lengths) ++length;
      return {};
    });
  }

  Status keep(Cache& cache, std::span<const size_t> rows) override {
    auto& c = static_cast<TorchCache&>(cache);
    std::vector<int64_t> index, lengths;
    std::vector<int32_t> rope_keys;
    for (const size_t row : rows) {
      if (row >= c.lengths.size())
        return fail(ErrorCode::kUsage, fmt::format("keep row {} of a cache of {} rows", row, c.lengths.size()));
      index.push_back(static_cast<int64_t>(row));
      lengths.push_back(c.lengths[row]);
      rope_keys.push_back(c.rope_keys[row]);
    }
    return guarded([&]() -> Status {
      at::NoGradGuard no_grad;
      const at::Tensor at_rows = at::tensor(index, at::kLong).to(decoder_.options().device);
      for (auto& layer : c.layers)
        for (at::Tensor* t : {&layer.keys, &layer.values, &layer.recurrent.tail, &layer.recurrent.state})
          if (t->defined()) *t = t->index_select(0, at_rows);
      c.lengths = std::move(lengths);
      c.rope_keys = std::move(rope_keys);
      return {};
    });
  }

 private:
  Status check_id(int32_t id) const {
    if (id >= 0 && id < config().vocab_size) return {};
    return fail(ErrorCode::kBadInput,
                fmt::format("token id {}, the vocabulary has 0 to {}", id, config().vocab_size - 1));
  }
  Status check_prompt(const std::vector<int32_t>& prompt) const {
    if (prompt.empty()) return fail(ErrorCode::kBadInput, "empty prompt: the network needs at least one token");
    if (static_cast<int64_t>(prompt.size()) > config().max_positions)
      return fail(ErrorCode::kBadInput,
                  fmt::format("prompt of {} tokens, the model's context is {}", prompt.size(), config().max_positions));
    for (const int32_t id : prompt) SLM_CHECK(check_id(id));
    return {};
  }
  static void grow(TorchCache& c, int64_t capacity) {
    for (auto& layer : c.layers)
      for (at::Tensor* t : {&layer.keys, &layer.values}) {
        if (!t->defined()) continue;
        auto sizes = t->sizes().vec();
        const int64_t old = sizes[2];
        sizes[2] = capacity;
        at::Tensor bigger = at::zeros(sizes, t->options());
        bigger.narrow(2, 0, old).copy_(*t);
        *t = std::move(bigger);
      }
    c.capacity = capacity;
  }
  Decoder& active() { return full_ ? *full_ : decoder_; }
  void use_threads() const {
    if (threads_ > 0 && at::get_num_threads() != threads_) at::set_num_threads(threads_);
  }

  Decoder decoder_;
  std::optional<Decoder> full_;  // stands in for it while a full set of weights is the adapter
  DType dtype_;
  int threads_;
};

}  // namespace

Result<std::unique_ptr<Engine>> Engine::load(const std::filesystem::path& dir, const EngineOptions& options) {
  SLM_TRY(const at::Device device, open_device(options.device));
  const bool cuda = device.is_cuda();
  return guarded([&]() -> Result<std::unique_ptr<Engine>> {
    DType dtype = options.dtype;
    if (dtype == DType::kAuto) dtype = cuda || cpu_has_bf16() ? DType::kBFloat16 : DType::kFloat32;
    const Decoder::Options decoder_options{dtype == DType::kBFloat16 ? at::kBFloat16 : at::kFloat, device, false,
                                           options.nf4 ? Nf4Base::kRounded : Nf4Base::kNo};
    SLM_TRY(auto decoder, Decoder::load(dir, decoder_options));
    log_info(fmt::format("model of {:.1f} M parameters: {}, {}, kernels {}, {} threads",
                         static_cast<double>(n_parameters(decoder.config())) / 1e6, options.device,
                         dtype == DType::kBFloat16 ? "bfloat16" : "float32", cuda ? "of libtorch" : kernels().name,
                         options.threads > 0 ? options.threads : at::get_num_threads()));
    return std::unique_ptr<Engine>(new TorchEngine(std::move(decoder), dtype, options.threads));
  });
}

}  // namespace slm::nn

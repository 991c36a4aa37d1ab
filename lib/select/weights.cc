#include "select/weights.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "nn/safetensors.h"

namespace slm::select {
namespace {

// A number is infinite or none where all bits of its exponent are set.
template <class Word>
bool all_finite(ByteSpan data, Word exponent) {
  constexpr size_t kBlock = 4096;  // words looked at before the next branch
  const size_t n = data.size() / sizeof(Word);
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t end = std::min(n, begin + kBlock);
    bool bad = false;
    for (size_t i = begin; i < end; ++i) {
      Word word = 0;
      std::memcpy(&word, data.data() + i * sizeof(Word), sizeof(Word));
      bad |= (word & exponent) == exponent;
    }
    if (bad) return false;
  }
  return true;
}

bool all_finite(const nn::TensorView& tensor) {
  if (tensor.dtype == "F32") return all_finite<uint32_t>(tensor.data, 0x7F800000u);
  if (tensor.dtype == "BF16") return all_finite<uint16_t>(tensor.data, 0x7F80u);
  if (tensor.dtype == "F16") return all_finite<uint16_t>(tensor.data, 0x7C00u);
  if (tensor.dtype == "F64") return all_finite<uint64_t>(tensor.data, 0x7FF0000000000000u);
  return true;
}

}  // namespace

Result<WeightCheck> check_weights(const std::filesystem::path& dir, const nn::ModelConfig& config, Progress& progress) {
  SLM_TRY(const nn::WeightFiles files, nn::WeightFiles::open(dir));
  for (const auto& wanted : nn::checkpoint_tensors(config)) {
    const nn::TensorView* tensor = nn::find_tensor(files, config, wanted.name);
    if (tensor == nullptr)
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: tensor {} is missing, which config.json asks for", dir.string(), wanted.name));
    if (tensor->shape != wanted.shape)
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: tensor {} is [{}], config.json asks for [{}]", files.file_of(wanted.name),
                              wanted.name, fmt::join(tensor->shape, ", "), fmt::join(wanted.shape, ", ")));
  }
  WeightCheck out;
  const auto names = files.names();
  progress.start("checking weights", names.size());
  for (const std::string& name : names) {
    if (interrupted()) return fail(ErrorCode::kInterrupted, "interrupted while weights were checked");
    const nn::TensorView& tensor = *files.find(name);
    if (!all_finite(tensor))
      return fail(ErrorCode::kBadInput,
                  fmt::format("{}: tensor {} holds a number that isn't finite: the weights are damaged",
                              files.file_of(name), name),
                  "get the model's files again");
    out.n_bytes += static_cast<int64_t>(tensor.data.size());
    progress.advance(static_cast<uint64_t>(++out.n_tensors));
  }
  progress.finish();
  return out;
}

}  // namespace slm::select

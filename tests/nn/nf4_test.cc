// NF4 against bitsandbytes' CPU backend: tests/data/nf4.safetensors and the -nf4 rows of tests/data/families (made by
// scripts/interop/families.py), and fresh models where scripts/interop/run.sh has made them.
#include "nn/nf4.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

using at::Tensor;
using nn::Nf4;

void expect_state(const Nf4& ours, const Reference& theirs, const std::string& name) {
  EXPECT_TRUE(at::equal(ours.packed, theirs.get(name + "packed"))) << name;
  EXPECT_TRUE(at::equal(ours.scales, theirs.get(name + "scales"))) << name;
  EXPECT_TRUE(at::equal(ours.outer_scales, theirs.get(name + "outer_scales"))) << name;
  EXPECT_EQ(ours.offset, theirs.get(name + "offset").item<float>()) << name;
}

// As nf4_matrix() of families.py.
Tensor matrix(int64_t rows, int64_t columns, int64_t zeros) {
  Tensor out = at::empty({rows, columns}, at::kFloat);
  for (int64_t i = 0; i < rows * columns; ++i) {
    const auto hash = static_cast<uint32_t>(static_cast<uint64_t>(i) * 2654435761u);
    const float x = (static_cast<float>(hash >> 22) - 511.5f) * static_cast<float>(1 << (i / 64 * 7 % 5));
    out.data_ptr<float>()[i] = i < zeros ? 0 : x;
  }
  return out;
}

// More than one block of scales; a last block that isn't full, of one element; blocks of zeros; one block only.
TEST(Nf4, StatesEqualBitsandbytes) {
  const Reference theirs{{},
                         nn::SafeTensors::open(std::string(SLM_SOURCE_DIR) + "/tests/data/nf4.safetensors").value()};
  struct Shape {
    int64_t rows, columns, zeros;
  };
  for (const auto& [rows, columns, zeros] :
       {Shape{130, 130, 0}, Shape{5, 13, 0}, Shape{4, 40, 64}, Shape{4, 16, 0}, Shape{2, 32, 64}}) {
    const Nf4 ours = nn::nf4_quantise(matrix(rows, columns, zeros));
    const std::string name = fmt::format("{}.{}.{}.", rows, columns, zeros);
    expect_state(ours, theirs, name);
    if (!theirs.has(name + "float32")) continue;
    EXPECT_TRUE(at::equal(nn::nf4_dequantise({&ours, 1}, at::kFloat), theirs.get(name + "float32"))) << name;
  }
}

TEST(Nf4, EveryLinearOfAModelEqualsBitsandbytes) {
  int n = 0;
  for (const auto& dir : family_dirs()) {
    if (!is_nf4(dir)) continue;
    const Reference reference = reference_in(dir);
    EXPECT_TRUE(at::equal(nn::nf4_map(), reference.get("nf4.map")));
    const auto files = nn::WeightFiles::open(dir).value();
    for (const auto& [name, view] : reference.expected.tensors()) {
      if (!name.starts_with("nf4.") || !name.ends_with(".packed")) continue;
      const std::string stem = name.substr(0, name.size() - std::string("packed").size());
      const std::string tensor = stem.substr(4, stem.size() - 5);
      const Tensor weight = nn::tensor_of(*files.find(tensor)).value();
      expect_state(nn::nf4_quantise(weight), reference, stem);
      ++n;
    }
  }
  EXPECT_GE(n, 2 * (7 + 7 + 4 + 7));
}

TEST(Nf4, HalfAByteAndAScaleForEach) {
  const Nf4 w = nn::nf4_quantise(matrix(256, 256, 0));
  EXPECT_EQ(w.nbytes(), 256 * 256 / 2 + 256 * 4 + 4 * 4 + 4);
}

TEST(Nf4, RowsAreRowsOfTheWhole) {
  const std::vector<Nf4> parts{nn::nf4_quantise(matrix(7, 40, 0)), nn::nf4_quantise(matrix(5, 40, 40))};
  for (const auto type : {at::kFloat, at::kBFloat16, at::kDouble}) {
    const Tensor whole = nn::nf4_dequantise(parts, type);
    EXPECT_EQ(whole.sizes().vec(), (std::vector<int64_t>{12, 40}));
    EXPECT_TRUE(at::equal(whole, nn::nf4_dequantise(parts, at::kFloat).to(type)));
    for (int64_t from = 0; from < 12; ++from)
      for (int64_t n = 1; from + n <= 12; ++n)
        EXPECT_TRUE(at::equal(nn::nf4_rows(parts, from, n, type), whole.narrow(0, from, n))) << from << " " << n;
  }
}

TEST(Nf4, ThreadsChangeNothing) {
  const Tensor x = at::randn({700, 300}, at::make_generator<at::CPUGeneratorImpl>(3), at::kFloat);
  at::set_num_threads(1);
  const Nf4 one = nn::nf4_quantise(x);
  at::set_num_threads(2);
  const Nf4 two = nn::nf4_quantise(x);
  at::set_num_threads(1);
  EXPECT_TRUE(at::equal(one.packed, two.packed) && at::equal(one.scales, two.scales));
  EXPECT_EQ(one.offset, two.offset);
}

TEST(Nf4, ALinearHasTheValueAndGradientOfItsDequantisedWeight) {
  const std::vector<Nf4> parts{nn::nf4_quantise(matrix(7, 40, 0)), nn::nf4_quantise(matrix(5, 40, 40))};
  for (const bool biased : {false, true}) {
    const Tensor bias = biased ? at::arange(12, at::kFloat) : Tensor();
    Tensor a = (at::arange(3 * 40, at::kFloat).view({3, 40}) / 100).requires_grad_(true);
    Tensor b = a.detach().clone().requires_grad_(true);
    const Tensor ours = nn::nf4_linear(a, parts, bias),
                 theirs = at::linear(b, nn::nf4_dequantise(parts, at::kFloat), bias);
    EXPECT_LE(relative_max(ours, theirs), 1e-5);
    ours.square().sum().backward();
    theirs.square().sum().backward();
    EXPECT_LE(relative_max(a.grad(), b.grad()), 1e-5);
  }
}

TEST(Nf4, PackedAndRoundedBasesAnswerAlike) {
  const auto dir = fs::path(SLM_SOURCE_DIR) / "tests/data/families/llama-nf4";
  const std::vector<int32_t> ids{5, 9, 2, 30, 11};
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    auto packed = nn::Decoder::load(dir, {type, at::kCPU, false, nn::Nf4Base::kPacked}).value();
    auto rounded = nn::Decoder::load(dir, {type, at::kCPU, false, nn::Nf4Base::kRounded}).value();
    auto plain = nn::Decoder::load(dir, {type, at::kCPU, false}).value();
    EXPECT_TRUE(at::equal(logits_of(packed, ids), logits_of(rounded, ids)));
    EXPECT_GT(relative_max(logits_of(plain, ids), logits_of(rounded, ids)), 0.01);
  }
}

TEST(Nf4, WhatIsQuantisedIsNotTrained) {
  const auto dir = fs::path(SLM_SOURCE_DIR) / "tests/data/families/llama-nf4";
  const auto decoder = nn::Decoder::load(dir, {at::kFloat, at::kCPU, true, nn::Nf4Base::kPacked});
  ASSERT_FALSE(decoder);
  EXPECT_EQ(decoder.error().code, ErrorCode::kUsage);
}

TEST(Nf4, AnAdapterOverNf4TakesNoOtherBase) {
  const Reference reference = reference_in(fs::path(SLM_SOURCE_DIR) / "tests/data/families/llama-nf4");
  auto plain = nn::Engine::load(reference.dir, {nn::DType::kFloat32, "cpu", 1}).value();
  const auto status = plain->set_adapter(reference.adapter());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::kManifestMismatch);
  EXPECT_THAT(status.error().hint, ::testing::HasSubstr("--nf4"));
  auto quantised = nn::Engine::load(reference.dir, {nn::DType::kFloat32, "cpu", 1, true}).value();
  EXPECT_TRUE(quantised->set_adapter(reference.adapter()));
}

}  // namespace
}  // namespace slm::testing

// Attention by tiles against plain operations in double precision, over forests.
#include "nn/attention.h"

#include <ATen/Parallel.h>

#include <gtest/gtest.h>

#include "core/random.h"
#include "nn/rope.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

struct Case {
  const char* name;
  nn::AttentionShape shape;
  int64_t window;
};

void PrintTo(const Case& c, std::ostream* out) { *out << c.name; }

class AttentionTest : public ::testing::TestWithParam<Case> {};

// Branches at places that aren't multiples of anything; a path of several blocks; single tokens.
nn::ForestBatch forest(Prng& prng) {
  std::vector<nn::Sequence> all;
  const auto grown = [&](std::vector<int32_t> ids, size_t n) {
    for (size_t t = 0; t < n; ++t) ids.push_back(static_cast<int32_t>(prng.below(1000)));
    return ids;
  };
  const auto trunk = grown({}, 131), branch = grown(trunk, 40);
  for (const size_t n : {9u, 1u, 64u, 65u}) all.push_back({grown(branch, n), 1, 0, 0});
  for (const size_t n : {23u, 200u}) all.push_back({grown(trunk, n), 1, 0, 0});
  all.push_back({grown({}, 1), 1, 0, 0});
  all.push_back({grown({}, 77), 1, 0, 0});
  return nn::make_forests(all, {1 << 20})[0];
}

nn::AttentionContext context_of(const nn::ForestBatch& batch, const Case& c, at::ScalarType type) {
  const nn::RopeConfig rope;
  const auto table = nn::rope_table(&rope, c.shape.rotated, 0, 512, type);
  return {table.cos, table.sin, at::tensor(batch.positions, at::kInt), c.window, nn::forest_paths(batch)};
}

TEST_P(AttentionTest, TilesEqualPlainOperations) {
  const auto& shape = GetParam().shape;
  Prng prng(4);
  const auto batch = forest(prng);
  at::Tensor qkv = at::empty({batch.size(), shape.width()}, at::kDouble),
             d = at::empty({batch.size(), shape.n_heads * shape.head_dim}, at::kDouble);
  for (const auto* t : {&qkv, &d})
    for (int64_t i = 0; i < t->numel(); ++i) t->data_ptr<double>()[i] = prng.normal();
  at::Tensor exact = qkv.clone().requires_grad_(true);
  const auto want = nn::attention_plain(exact, context_of(batch, GetParam(), at::kDouble), shape);
  want.out.backward(d);

  const auto c = context_of(batch, GetParam(), at::kFloat);
  for (const auto type : {at::kFloat, at::kBFloat16}) {
    at::Tensor x = qkv.to(type).requires_grad_(true);
    if (!nn::has_attention_tiles(x, shape)) continue;
    const double bound = type == at::kFloat ? 1e-5 : 2e-2;
    const auto out = nn::attention(x, c, shape);
    out.backward(d.to(type));
    EXPECT_LE(relative_norm(out, want.out), bound);
    EXPECT_LE(relative_norm(x.grad(), exact.grad()), bound);
    for (const int64_t from : {int64_t{0}, shape.n_heads, shape.n_heads + shape.n_kv}) {
      const auto heads = [&](const at::Tensor& t) {
        return t.narrow(1, from * shape.head_dim, shape.n_kv * shape.head_dim);
      };
      EXPECT_LE(relative_norm(heads(x.grad()), heads(exact.grad())), bound) << from;
    }
    at::NoGradGuard no_grad;
    const auto parts = nn::attention_with_cache(x, c, shape);
    EXPECT_TRUE(at::equal(parts.out, out));
    EXPECT_LE(relative_norm(parts.keys, want.keys), bound);
    EXPECT_LE(relative_norm(parts.values, want.values), bound);
  }
}

TEST_P(AttentionTest, ThreadsDoNotChangeABit) {
  const auto& shape = GetParam().shape;
  Prng prng(4);
  const auto batch = forest(prng);
  const auto c = context_of(batch, GetParam(), at::kFloat);
  at::manual_seed(1);
  const at::Tensor qkv = at::randn({batch.size(), shape.width()}),
                   d = at::randn({batch.size(), shape.n_heads * shape.head_dim});
  const int before = at::get_num_threads();
  std::vector<at::Tensor> results;
  for (const int threads : {1, 2}) {
    at::set_num_threads(threads);
    at::Tensor x = qkv.clone().requires_grad_(true);
    const auto out = nn::attention(x, c, shape);
    out.backward(d);
    results.push_back(at::cat({out.detach().flatten(), x.grad().flatten()}));
  }
  at::set_num_threads(before);
  EXPECT_TRUE(at::equal(results[0], results[1]));
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, AttentionTest,
    ::testing::Values(Case{"grouped", {9, 3, 64, 64, 0.125}, 0}, Case{"window", {4, 2, 16, 16, 0.25}, 70},
                      Case{"narrow_window", {2, 2, 32, 32, 0.2}, 3}, Case{"one_head_for_all", {8, 1, 24, 24, 0.3}, 0},
                      Case{"partly_turned", {3, 3, 80, 32, 0.1}, 0}, Case{"large_group", {70, 1, 8, 8, 0.3}, 0},
                      Case{"capped", {6, 2, 32, 32, 0.5, 1.5}, 0}, Case{"capped_window", {2, 2, 16, 16, 0.5, 0.7}, 70}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace slm::testing

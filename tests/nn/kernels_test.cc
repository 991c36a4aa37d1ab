// Every instruction set's kernels against the same formulas in double precision.
#include "nn/kernels.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "core/random.h"

namespace slm::nn {
namespace {

uint16_t to_bf16(float x) {
  uint32_t u;
  std::memcpy(&u, &x, 4);
  u += 0x7fff + ((u >> 16) & 1);
  return static_cast<uint16_t>(u >> 16);
}
float from_bf16(uint16_t h) {
  const uint32_t u = uint32_t{h} << 16;
  float x;
  std::memcpy(&x, &u, 4);
  return x;
}

// An array of floats that the kernel sees as float32 or bfloat16.
struct Array {
  bool bf;
  std::vector<float> wide;
  std::vector<uint16_t> narrow;
  Array(size_t n, bool is_bf) : bf(is_bf) { bf ? narrow.resize(n) : wide.resize(n); }
  void* data() { return bf ? static_cast<void*>(narrow.data()) : wide.data(); }
  double at(size_t i) const { return bf ? from_bf16(narrow[i]) : wide[i]; }
  void set(size_t i, float x) {
    if (bf)
      narrow[i] = to_bf16(x);
    else
      wide[i] = x;
  }
};

struct Case {
  const char* isa;
  bool bf;
};
class KernelTest : public ::testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    k = kernels_named(GetParam().isa);
    if (k == nullptr) GTEST_SKIP() << "this CPU has no " << GetParam().isa;
    ASSERT_STREQ(k->name, GetParam().isa);
  }
  Array random(size_t n, double scale = 1) {
    Array a(n, bf);
    for (size_t i = 0; i < n; ++i) a.set(i, static_cast<float>(prng.normal() * scale));
    return a;
  }
  std::vector<float> floats(size_t n) {
    std::vector<float> a(n);
    for (auto& x : a) x = static_cast<float>(prng.normal());
    return a;
  }
  // Relative to the size of numbers around 1: bf16 keeps 8 bits.
  double tolerance() const { return bf ? 1.0 / 128 : 2e-6; }
  void near(double ours, double expected) const { EXPECT_NEAR(ours, expected, tolerance() * (1 + std::abs(expected))); }

  const Kernels* k = nullptr;
  bool bf = GetParam().bf;
  Prng prng{42};
};

constexpr int64_t kWidths[] = {1, 7, 16, 24, 37};

TEST_P(KernelTest, AddNormAndItsGradient) {
  for (const int64_t width : kWidths) {
    const int64_t n = 3;
    const auto size = static_cast<size_t>(n * width);
    const auto x = floats(size), w = floats(static_cast<size_t>(width)), d_out = floats(size);
    auto y = random(size), dh = random(size);
    std::vector<float> out(size), inv(3), dx(size), dw(static_cast<size_t>(width), 0.5f);
    Array h(size, bf), dy(size, bf);
    k->add_norm(x.data(), y.data(), w.data(), 1e-5f, n, width, out.data(), h.data(), inv.data(), bf);
    k->add_norm_backward(d_out.data(), dh.data(), out.data(), w.data(), inv.data(), n, width, dx.data(), dy.data(),
                         dw.data(), bf);
    std::vector<double> want_dw(static_cast<size_t>(width), 0.5);
    for (int64_t r = 0; r < n; ++r) {
      double squares = 0, dot = 0;
      const auto at = [&](int64_t i) { return static_cast<size_t>(r * width + i); };
      for (int64_t i = 0; i < width; ++i) squares += std::pow(x[at(i)] + y.at(at(i)), 2);
      const double scale = 1 / std::sqrt(squares / static_cast<double>(width) + 1e-5);
      for (int64_t i = 0; i < width; ++i) dot += dh.at(at(i)) * w[static_cast<size_t>(i)] * (x[at(i)] + y.at(at(i)));
      for (int64_t i = 0; i < width; ++i) {
        const double s = x[at(i)] + y.at(at(i)), wi = w[static_cast<size_t>(i)];
        EXPECT_NEAR(out[at(i)], s, 1e-6);
        near(h.at(at(i)), s * scale * wi);
        const double want =
            d_out[at(i)] + dh.at(at(i)) * wi * scale - s * dot * std::pow(scale, 3) / static_cast<double>(width);
        EXPECT_NEAR(dx[at(i)], want, 1e-5 * (1 + std::abs(want)));
        EXPECT_NEAR(dy.at(at(i)), want, (bf ? 1.0 / 128 : 1e-5) * (1 + std::abs(want)));
        want_dw[static_cast<size_t>(i)] += dh.at(at(i)) * s * scale;
      }
    }
    for (size_t i = 0; i < want_dw.size(); ++i) EXPECT_NEAR(dw[i], want_dw[i], 1e-5 * (1 + std::abs(want_dw[i])));
  }
}

TEST_P(KernelTest, SwiGluAndItsGradient) {
  for (const int64_t width : kWidths) {
    const auto f = static_cast<size_t>(width);
    auto in = random(2 * 2 * f, 4), d = random(2 * f);
    in.set(0, 95.0f);  // where a careless exp overflows
    in.set(2 * f, -95.0f);
    Array out(2 * f, bf), d_in(4 * f, bf);
    k->swiglu(in.data(), 2, width, out.data(), bf);
    k->swiglu_backward(in.data(), d.data(), 2, width, d_in.data(), bf);
    for (size_t r = 0; r < 2; ++r)
      for (size_t i = 0; i < f; ++i) {
        const double g = in.at(r * 2 * f + i), u = in.at(r * 2 * f + f + i), s = 1 / (1 + std::exp(-g)),
                     dd = d.at(r * f + i);
        near(out.at(r * f + i), g * s * u);
        near(d_in.at(r * 2 * f + i), dd * u * s * (1 + g * (1 - s)));
        near(d_in.at(r * 2 * f + f + i), dd * g * s);
      }
  }
}

TEST_P(KernelTest, RotationAndItsInverse) {
  for (const int64_t head_dim : {2, 8, 12, 64})
    for (const int64_t rotated : {head_dim, head_dim / 4 * 2}) {
      const HeadShape shape{4, 2, head_dim, rotated};
      const int64_t half = rotated / 2;
      std::vector<float> cos(static_cast<size_t>(10 * half)), sin(cos.size());
      for (size_t i = 0; i < cos.size(); ++i) {
        cos[i] = static_cast<float>(std::cos(0.37 * static_cast<double>(i)));
        sin[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)));
      }
      const std::vector<int32_t> rows{9, 0, 4};
      const auto size = static_cast<size_t>(3 * 8 * head_dim);
      auto qkv = random(size);
      Array out(size, bf);
      k->rotate(qkv.data(), cos.data(), sin.data(), rows.data(), 0.5f, 1.0f, 3, shape, out.data(), bf);
      for (int64_t t = 0; t < 3; ++t)
        for (int64_t h = 0; h < 8; ++h)
          for (int64_t i = 0; i < head_dim; ++i) {
            const auto at = [&](int64_t j) { return static_cast<size_t>((t * 8 + h) * head_dim + j); };
            double turned = qkv.at(at(i));
            if (h < 6 && i < rotated) {
              const auto angle = static_cast<size_t>(rows[static_cast<size_t>(t)] * half + i % half);
              turned = i < half ? qkv.at(at(i)) * cos[angle] - qkv.at(at(i + half)) * sin[angle]
                                : qkv.at(at(i)) * cos[angle] + qkv.at(at(i - half)) * sin[angle];
            }
            near(out.at(at(i)), h < 4 ? 0.5 * turned : turned);
          }
      // Rotations are orthogonal: turned back in place.
      k->rotate(out.data(), cos.data(), sin.data(), rows.data(), 2.0f, -1.0f, 3, shape, out.data(), bf);
      for (size_t i = 0; i < size; ++i) EXPECT_NEAR(out.at(i), qkv.at(i), 4 * tolerance() * (1 + std::abs(qkv.at(i))));
    }
}

TEST_P(KernelTest, LayoutsOfProducts) {
  for (const int64_t width : {2, 12, 64, 80})
    for (const int64_t n : {1, 5, 33, 64}) {
      const int64_t stride = width + 6, n_out = (n + 31) / 32 * 32, pair = bf ? 2 : 1;
      auto rows = random(static_cast<size_t>(n * stride)), packed = random(static_cast<size_t>(n * width));
      Array columns(static_cast<size_t>(width * kBlock), bf), paired(static_cast<size_t>(n_out * width), bf),
          turned(static_cast<size_t>(n_out * width), bf);
      k->block_columns(rows.data(), stride, n, width, columns.data(), bf);
      k->block_rows(rows.data(), stride, n, width, paired.data(), n_out, bf);
      k->transposed(packed.data(), n, width, turned.data(), n_out, bf);
      for (int64_t r = 0; r < n_out; ++r)
        for (int64_t i = 0; i < width; ++i) {
          const double want = r < n ? rows.at(static_cast<size_t>(r * stride + i)) : 0;
          const auto in_pairs = [&](int64_t row, int64_t column, int64_t n_columns) {
            return static_cast<size_t>(row / pair * n_columns * pair + column * pair + row % pair);
          };
          if (r < n) {
            EXPECT_EQ(columns.at(in_pairs(i, r, kBlock)), want);
          }
          EXPECT_EQ(paired.at(in_pairs(r, i, width)), want);
          EXPECT_EQ(turned.at(static_cast<size_t>(i * n_out + r)),
                    r < n ? packed.at(static_cast<size_t>(r * width + i)) : 0);
        }
    }
}

// Two tokens of two heads each before, within and after three blocks, with and without a window.
TEST_P(KernelTest, TileSoftmaxAndItsGradient) {
  const std::vector<KeyBlock> blocks{{0, 64, 0}, {64, 37, 64}, {140, 5, 101}};
  const std::vector<int32_t> positions{101, 103};
  const int64_t n_rows = 4, stride = 6, n_paired = 32;
  for (const auto& [window, cap] :
       {std::pair{0, 0.0f}, std::pair{1, 0.0f}, std::pair{30, 0.0f}, std::pair{64, 0.0f}, std::pair{30, 2.5f}}) {
    const QueryTile tile{positions.data(), 2, 2, window, cap};
    const auto size = static_cast<size_t>(3 * stride * kBlock);
    auto scores = floats(size);
    const auto dp = floats(size);
    for (size_t i = 0; i < 10; ++i) scores[i] = 90.0f;
    auto raw = scores;
    Array p(size, bf);
    std::vector<float> sum(4), lse(4), delta(4);
    k->tile_softmax(scores.data(), blocks.data(), 3, tile, stride, p.data(), sum.data(), lse.data(), bf);
    std::vector<std::vector<double>> want(4, std::vector<double>(3 * kBlock));
    if (cap > 0)
      for (size_t i = 0; i < size; ++i) {
        near(scores[i], cap * std::tanh(static_cast<double>(raw[i]) / cap));
        scores[i] = static_cast<float>(cap * std::tanh(static_cast<double>(raw[i]) / cap));
      }
    for (int64_t r = 0; r < n_rows; ++r) {
      const int32_t position = positions[static_cast<size_t>(r / 2)];
      double most = -1e30, total = 0;
      const auto over = [&](const auto& use) {
        for (size_t b = 0; b < 3; ++b)
          for (int32_t i = 0; i < kBlock; ++i) {
            const int32_t key = blocks[b].position + i;
            const bool seen = i < blocks[b].length && key <= position && (window == 0 || key > position - window);
            use(b, i, seen,
                (b * static_cast<size_t>(stride) + static_cast<size_t>(r)) * kBlock + static_cast<size_t>(i));
          }
      };
      over([&](size_t, int32_t, bool seen, size_t at) { most = seen ? std::max<double>(most, scores[at]) : most; });
      over([&](size_t, int32_t, bool seen, size_t at) { total += seen ? std::exp(scores[at] - most) : 0; });
      const auto row = static_cast<size_t>(r);
      EXPECT_NEAR(sum[row], total, 1e-5 * total);
      EXPECT_NEAR(lse[row], most + std::log(total), 1e-5 * (1 + std::abs(most)));
      over([&](size_t b, int32_t i, bool seen, size_t at) {
        near(p.at(at), seen ? std::exp(scores[at] - most) : 0);
        if (!seen) {
          EXPECT_EQ(p.at(at), 0);
        }
        want[row][b * kBlock + static_cast<size_t>(i)] = seen ? std::exp(scores[at] - most) / total : 0;
      });
      delta[row] = 0.3f * static_cast<float>(r);
    }
    for (size_t b = 0; b < 3; ++b) {
      const size_t at = b * static_cast<size_t>(stride) * kBlock;
      Array ds(static_cast<size_t>(n_paired * kBlock), bf), p_pairs(ds), ds_pairs(ds);
      k->tile_softmax_backward(raw.data() + at, dp.data() + at, blocks[b], tile, lse.data(), delta.data(), ds.data(),
                               p_pairs.data(), ds_pairs.data(), n_paired, bf);
      for (int64_t r = 0; r < n_paired; ++r)
        for (int64_t i = 0; i < kBlock; ++i) {
          const auto plain = static_cast<size_t>(r * kBlock + i);
          const auto pair = bf ? static_cast<size_t>(r / 2 * 2 * kBlock + 2 * i + r % 2) : plain;
          const auto row = static_cast<size_t>(r);
          const double wp = r < n_rows ? want[row][b * kBlock + static_cast<size_t>(i)] : 0;
          const double of_cap = cap > 0 && r < n_rows ? scores[at + plain] / cap : 0;
          const double wd = r < n_rows ? wp * (dp[at + plain] - delta[row]) * (1 - of_cap * of_cap) : 0;
          near(p_pairs.at(pair), wp);
          near(ds_pairs.at(pair), wd);
          if (r < n_rows) near(ds.at(plain), wd);
        }
    }
  }
}

TEST_P(KernelTest, RowsStoredAndMultiplied) {
  const auto rows = floats(5 * 21), factors = floats(5);
  Array out(5 * 30, bf);
  k->store_rows(rows.data(), factors.data(), 5, 21, out.data(), 30, bf);
  auto a = random(5 * 21), b = random(5 * 21);
  std::vector<float> dots(5);
  k->row_dots(a.data(), b.data(), 5, 21, dots.data(), bf);
  for (size_t r = 0; r < 5; ++r) {
    double want = 0;
    for (size_t i = 0; i < 21; ++i) {
      near(out.at(r * 30 + i), rows[r * 21 + i] * factors[r]);
      want += a.at(r * 21 + i) * b.at(r * 21 + i);
    }
    EXPECT_NEAR(dots[r], want, 1e-4);
  }
}

TEST_P(KernelTest, CrossEntropyAndItsGradient) {
  for (const int64_t vocab : {5, 32, 53}) {
    auto logits = random(static_cast<size_t>(3 * vocab), 4);
    const Array before = logits;
    const std::vector<int32_t> targets{0, static_cast<int32_t>(vocab - 1), 2};
    const std::vector<float> weights{1.0f, 0.25f, 0.0f};
    int64_t hits = 0, want_hits = 0;
    const double loss = k->cross_entropy(logits.data(), targets.data(), weights.data(), 3, vocab, &hits, bf);
    double want = 0;
    for (size_t r = 0; r < 3; ++r) {
      const auto at = [&](int64_t i) { return r * static_cast<size_t>(vocab) + static_cast<size_t>(i); };
      double sum = 0, best = -1e30;
      for (int64_t i = 0; i < vocab; ++i) {
        sum += std::exp(before.at(at(i)));
        best = std::max(best, before.at(at(i)));
      }
      want += weights[r] * (std::log(sum) - before.at(at(targets[r])));
      want_hits += weights[r] != 0 && before.at(at(targets[r])) == best ? 1 : 0;
      for (int64_t i = 0; i < vocab; ++i)
        near(logits.at(at(i)), weights[r] * (std::exp(before.at(at(i))) / sum - (i == targets[r] ? 1 : 0)));
    }
    EXPECT_NEAR(loss, want, 1e-5 * (1 + want));
    EXPECT_EQ(hits, want_hits);
  }
}

TEST_P(KernelTest, CrossEntropyOfNotANumberIsNotANumber) {
  auto logits = random(20);
  logits.set(3, NAN);
  int64_t hits = 0;
  const int32_t target = 3;
  const float weight = 1;
  EXPECT_TRUE(std::isnan(k->cross_entropy(logits.data(), &target, &weight, 1, 20, &hits, bf)));
}

TEST_P(KernelTest, OneQueryAgainstTheCache) {
  for (const int64_t head_dim : {12, 32, 64, 128})
    for (const int64_t length : {1, 15, 33}) {
      const int64_t group = 2;
      const float cap = length == 15 ? 0.5f : 0.0f;
      auto q = random(static_cast<size_t>(group * head_dim), 0.3),
           keys = random(static_cast<size_t>(length * head_dim)),
           values = random(static_cast<size_t>(length * head_dim));
      std::vector<float> scratch(static_cast<size_t>(length));
      Array out(static_cast<size_t>(group * head_dim), bf);
      k->attend_one(q.data(), keys.data(), values.data(), group, length, head_dim, cap, scratch.data(), out.data(), bf);
      for (int64_t g = 0; g < group; ++g) {
        std::vector<double> p;
        double sum = 0;
        for (int64_t t = 0; t < length; ++t) {
          double dot = 0;
          for (int64_t i = 0; i < head_dim; ++i)
            dot += q.at(static_cast<size_t>(g * head_dim + i)) * keys.at(static_cast<size_t>(t * head_dim + i));
          p.push_back(std::exp(cap > 0 ? cap * std::tanh(dot / cap) : dot));
          sum += p.back();
        }
        for (int64_t i = 0; i < head_dim; ++i) {
          double want = 0;
          for (int64_t t = 0; t < length; ++t)
            want += p[static_cast<size_t>(t)] / sum * values.at(static_cast<size_t>(t * head_dim + i));
          EXPECT_NEAR(out.at(static_cast<size_t>(g * head_dim + i)), want,
                      (bf ? 1.0 / 128 : 1e-5) * (1 + std::abs(want)));
        }
      }
    }
}

TEST_P(KernelTest, FewRowsTimesWeights) {
  for (const int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11})
    for (const int64_t n : {1, 4, 7})
      for (const int64_t width : {5, 16, 40}) {
        const auto x = floats(static_cast<size_t>(m * width));
        const auto w = floats(static_cast<size_t>(n * width));
        const int64_t n_out = n + 3;
        std::vector<float> out(static_cast<size_t>(m * n_out), 7.0f);
        k->few_rows(x.data(), m, w.data(), n, width, out.data(), n_out);
        for (int64_t r = 0; r < m; ++r)
          for (int64_t j = 0; j < n_out; ++j) {
            double want = j < n ? 0 : 7;
            for (int64_t i = 0; i < width && j < n; ++i)
              want += double{x[static_cast<size_t>(r * width + i)]} * w[static_cast<size_t>(j * width + i)];
            EXPECT_NEAR(out[static_cast<size_t>(r * n_out + j)], want, 1e-5 * (1 + std::abs(want)));
          }
      }
}

TEST_P(KernelTest, AdamWStep) {
  const size_t n = 19;
  auto w = floats(n), g = floats(n), m = floats(n);
  std::vector<float> v(n, 0.3f);
  const auto w0 = w, m0 = m;
  const AdamStep s{0.5f, 0.9f, 0.99f, 1e-8f, 0.02f, 3.0f, 0.001f};
  k->adamw(w.data(), g.data(), m.data(), v.data(), n, s);
  for (size_t i = 0; i < n; ++i) {
    const double gi = 0.5 * g[i], mi = 0.9 * m0[i] + 0.1 * gi, vi = 0.99 * 0.3 + 0.01 * gi * gi;
    EXPECT_NEAR(m[i], mi, 1e-6);
    EXPECT_NEAR(v[i], vi, 1e-6);
    EXPECT_NEAR(w[i], w0[i] * (1 - 0.001) - 0.02 * mi / (std::sqrt(vi) * 3.0 + 1e-8), 1e-6);
  }
}

INSTANTIATE_TEST_SUITE_P(All, KernelTest,
                         ::testing::Values(Case{"base", false}, Case{"base", true}, Case{"avx2", false},
                                           Case{"avx2", true}, Case{"avx512", false}, Case{"avx512", true}),
                         [](const auto& tested) {
                           return std::string(tested.param.isa) + (tested.param.bf ? "_bf16" : "_f32");
                         });

TEST(Kernels, UnknownNameIsNull) { EXPECT_EQ(kernels_named("sse9"), nullptr); }

}  // namespace
}  // namespace slm::nn

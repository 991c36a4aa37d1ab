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
  for (const int64_t head_dim : {2, 8, 12, 64}) {
    const HeadShape shape{3, 4, 2, head_dim, head_dim};
    const int64_t half = head_dim / 2;
    std::vector<float> cos(static_cast<size_t>(10 * half)), sin(cos.size());
    for (size_t i = 0; i < cos.size(); ++i) {
      cos[i] = static_cast<float>(std::cos(0.37 * static_cast<double>(i)));
      sin[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)));
    }
    const std::vector<int32_t> positions{9, 0, 4};
    auto qkv = random(static_cast<size_t>(3 * 8 * head_dim));
    Array q(static_cast<size_t>(12 * head_dim), bf), key(static_cast<size_t>(6 * head_dim), bf),
        v(static_cast<size_t>(6 * head_dim), bf);
    k->split_rotate(qkv.data(), cos.data(), sin.data(), positions.data(), 0.5f, shape, q.data(), key.data(), v.data(),
                    bf);
    for (int64_t t = 0; t < 3; ++t)
      for (int64_t h = 0; h < 8; ++h)
        for (int64_t i = 0; i < head_dim; ++i) {
          const auto in = [&](int64_t j) { return qkv.at(static_cast<size_t>((t * 8 + h) * head_dim + j)); };
          const auto angle = static_cast<size_t>(positions[static_cast<size_t>(t)] * half + i % half);
          const double turned =
              i < half ? in(i)*cos[angle] - in(i + half) * sin[angle] : in(i)*cos[angle] + in(i - half) * sin[angle];
          if (h < 4)
            near(q.at(static_cast<size_t>((h * 3 + t) * head_dim + i)), 0.5 * turned);
          else if (h < 6)
            near(key.at(static_cast<size_t>(((h - 4) * 3 + t) * head_dim + i)), turned);
          else
            EXPECT_EQ(v.at(static_cast<size_t>(((h - 6) * 3 + t) * head_dim + i)), in(i));
        }
    // Rotations are orthogonal: the gradient of an output is turned back.
    Array back(static_cast<size_t>(3 * 8 * head_dim), bf);
    k->merge_rotate(q.data(), key.data(), v.data(), cos.data(), sin.data(), positions.data(), 2.0f, shape, back.data(),
                    bf);
    for (size_t i = 0; i < static_cast<size_t>(24 * head_dim); ++i)
      EXPECT_NEAR(back.at(i), qkv.at(i), 4 * tolerance() * (1 + std::abs(qkv.at(i))));
  }
}

TEST_P(KernelTest, SoftmaxOverWhatIsSeenAndItsGradient) {
  const int64_t width = 37, n = 4;
  const std::vector<int32_t> lo{0, 5, 36, 21}, hi{37, 6, 37, 30}, from{0, 0, 2, 3}, to{0, 0, 20, 21};
  auto s = random(static_cast<size_t>(n * width), 5);
  for (int64_t i = 0; i < width; ++i) s.set(static_cast<size_t>(i), 200.0f + static_cast<float>(i % 9));
  auto d = random(static_cast<size_t>(n * width));
  const Array scores = s, dp = d;
  for (const bool shared : {false, true}) {
    s = scores;
    d = dp;
    const SeenColumns seen{shared ? from.data() : nullptr, shared ? to.data() : nullptr, lo.data(), hi.data()};
    k->softmax(s.data(), seen, n, width, bf);
    k->softmax_backward(s.data(), d.data(), seen, n, width, bf);
    for (int64_t r = 0; r < n; ++r) {
      const auto i_row = static_cast<size_t>(r);
      const auto at = [&](int64_t i) { return static_cast<size_t>(r * width + i); };
      const auto sees = [&](int64_t i) {
        return (i >= lo[i_row] && i < hi[i_row]) || (shared && i >= from[i_row] && i < to[i_row]);
      };
      double best = -1e30, sum = 0, dot = 0;
      for (int64_t i = 0; i < width; ++i)
        if (sees(i)) best = std::max(best, scores.at(at(i)));
      for (int64_t i = 0; i < width; ++i) {
        if (!sees(i)) continue;
        sum += std::exp(scores.at(at(i)) - best);
        dot += s.at(at(i)) * dp.at(at(i));
      }
      for (int64_t i = 0; i < width; ++i) {
        near(s.at(at(i)), sees(i) ? std::exp(scores.at(at(i)) - best) / sum : 0.0);
        near(d.at(at(i)), sees(i) ? s.at(at(i)) * (dp.at(at(i)) - dot) : 0.0);
        if (!sees(i)) EXPECT_EQ(s.at(at(i)), 0.0);
      }
    }
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
      auto q = random(static_cast<size_t>(group * head_dim), 0.3),
           keys = random(static_cast<size_t>(length * head_dim)),
           values = random(static_cast<size_t>(length * head_dim));
      std::vector<float> scratch(static_cast<size_t>(length));
      Array out(static_cast<size_t>(group * head_dim), bf);
      k->attend_one(q.data(), keys.data(), values.data(), group, length, head_dim, scratch.data(), out.data(), bf);
      for (int64_t g = 0; g < group; ++g) {
        std::vector<double> p;
        double sum = 0;
        for (int64_t t = 0; t < length; ++t) {
          double dot = 0;
          for (int64_t i = 0; i < head_dim; ++i)
            dot += q.at(static_cast<size_t>(g * head_dim + i)) * keys.at(static_cast<size_t>(t * head_dim + i));
          p.push_back(std::exp(dot));
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
                         [](const auto& info) {
                           return std::string(info.param.isa) + (info.param.bf ? "_bf16" : "_f32");
                         });

TEST(Kernels, UnknownNameIsNull) { EXPECT_EQ(kernels_named("sse9"), nullptr); }

}  // namespace
}  // namespace slm::nn

#include "model/model.h"

#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "core/progress.h"
#include "model/test_model.h"

namespace slm::model {
namespace {

constexpr int64_t kVocabulary = 448;
constexpr int32_t kImEnd = 421;

class ModelTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = make_model_dir("model");
    auto codec = Codec::open(dir_);
    ASSERT_TRUE(codec) << codec.error().message;
    codec_ = codec->get();
    owned_ = std::move(*codec);
  }
  void TearDown() override {
    std::filesystem::remove_all(dir_);
    interrupt_flag() = false;
  }

  static Prompt prompt(std::string_view text) { return {{{{"role", "user"}, {"content", text}}}, {}}; }
  static std::vector<float> one_hot(int32_t id) {
    std::vector<float> out(kVocabulary, 0.0f);
    out[static_cast<size_t>(id)] = 10.0f;
    return out;
  }
  // Says `answers[prompt]` token by token, then the end of the turn.
  FakeEngine::Next script(const std::map<std::string, std::string>& answers) {
    std::map<std::vector<int32_t>, std::vector<int32_t>> known;
    for (const auto& [text, answer] : answers) {
      auto example = codec_->encode_example(prompt(text), {{"content", answer}});
      EXPECT_TRUE(example);
      const auto cut = example->ids.begin() + static_cast<ptrdiff_t>(example->n_prompt);
      known[{example->ids.begin(), cut}] = {cut, example->ids.end()};
    }
    return [known](const std::vector<int32_t>& ids) {
      for (const auto& [head, answer] : known)
        if (ids.size() >= head.size() && std::equal(head.begin(), head.end(), ids.begin()) &&
            ids.size() - head.size() < answer.size())
          return one_hot(answer[ids.size() - head.size()]);
      return one_hot(kImEnd);
    };
  }
  // Takes the codec: call once.
  Model& model(FakeEngine::Next next, int64_t context = 256) {
    auto engine = std::make_unique<FakeEngine>(kVocabulary, context, std::move(next));
    engine_ = engine.get();
    auto made = Model::from_parts(std::move(owned_), std::move(engine));
    EXPECT_TRUE(made) << made.error().message;
    model_ = std::move(*made);
    return *model_;
  }

  std::filesystem::path dir_;
  std::unique_ptr<Codec> owned_;
  Codec* codec_ = nullptr;
  FakeEngine* engine_ = nullptr;
  std::unique_ptr<Model> model_;
};

TEST_F(ModelTest, AnswersInOrderWhateverTheBatch) {
  const std::map<std::string, std::string> answers = {{"a", "one"},
                                                      {"a much longer question about the order", "two words"},
                                                      {"question", "the customer asks for a refund, three"},
                                                      {"bb", ""},
                                                      {"the parcel", "x"}};
  std::vector<Prompt> prompts;
  std::vector<std::string> expected;
  for (const auto& [text, answer] : answers) {
    prompts.push_back(prompt(text));
    expected.push_back(answer);
  }
  Model& m = model(script(answers));
  for (const int batch : {1, 2, 3, 32}) {
    GenerateOptions options;
    options.batch = batch;
    std::vector<size_t> done;
    const auto out = m.generate(prompts, options, [&](size_t n) { done.push_back(n); });
    ASSERT_TRUE(out) << out.error().message;
    ASSERT_EQ(out->size(), prompts.size());
    for (size_t i = 0; i < out->size(); ++i) {
      EXPECT_EQ(std::string((*out)[i].message.at("content").as_string()), expected[i]) << batch;
      EXPECT_EQ((*out)[i].message.at("role"), "assistant");
      EXPECT_TRUE((*out)[i].ended);
      EXPECT_GT((*out)[i].n_prompt, 0);
      EXPECT_EQ(static_cast<size_t>((*out)[i].n_new), codec_->encode_text("x" + expected[i]).size() - 1) << expected[i];
      EXPECT_GE((*out)[i].latency_ms, 0);
    }
    EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
    EXPECT_EQ(done.back(), prompts.size());
  }
}

TEST_F(ModelTest, FinishedRowsLeaveTheBatch) {
  const std::map<std::string, std::string> answers = {{"a", "x"}, {"b", "the customer asks for a refund of the order"}};
  Model& m = model(script(answers));
  const auto out = m.generate(std::vector{prompt("a"), prompt("b")}, {});
  ASSERT_TRUE(out);
  EXPECT_EQ(engine_->batches, std::vector<size_t>{2});
  // Each token made is fed once, the last one (the end of the turn) never.
  EXPECT_EQ(engine_->n_stepped_rows, static_cast<size_t>((*out)[0].n_new - 1 + (*out)[1].n_new - 1));
}

TEST_F(ModelTest, StopsAtTheLimits) {
  const auto same = codec_->encode_text("refund");
  Model& m = model([&](const std::vector<int32_t>&) { return one_hot(same.back()); }, 40);
  const size_t n_prompt = codec_->encode_prompt(prompt("a"))->size();
  ASSERT_LT(n_prompt, 30u);
  GenerateOptions options;
  options.max_new_tokens = 3;
  auto out = m.generate(std::vector{prompt("a")}, options);
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[0].n_new, 3);
  EXPECT_FALSE((*out)[0].ended);
  options.max_new_tokens = 1000;
  out = m.generate(std::vector{prompt("a")}, options);
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[0].n_new, 40 - static_cast<int>(n_prompt));  // the context is full
  options.max_new_tokens = 0;
  out = m.generate(std::vector{prompt("a")}, options);
  ASSERT_TRUE(out);
  EXPECT_EQ((*out)[0].n_new, 0);
  EXPECT_EQ((*out)[0].message.at("content"), "");
}

TEST_F(ModelTest, LongAndRefusedPromptsAreAnsweredByNone) {
  Model& m = model(script({{"a", "one"}}), 60);
  std::string text;
  for (int i = 0; i < 100; ++i) text += "order ";
  const auto out = m.generate(std::vector{prompt(text), prompt("a")}, {});
  ASSERT_TRUE(out);
  EXPECT_TRUE((*out)[0].too_long);
  EXPECT_GT((*out)[0].n_prompt, 60);
  EXPECT_TRUE((*out)[0].message.empty());
  EXPECT_EQ((*out)[1].message.at("content"), "one");
  GenerateOptions options;
  options.max_context = 5;
  const auto short_context = m.generate(std::vector{prompt("a")}, options);
  ASSERT_TRUE(short_context);
  EXPECT_TRUE((*short_context)[0].too_long);
}

TEST_F(ModelTest, TemplateRefusals) {
  write_file(dir_ / "chat_template.jinja",
             "{% for m in messages %}{% if m.content == 'bad' %}{{ raise_exception('no') }}{% endif %}"
             "<|im_start|>{{ m.content }}<|im_end|>{% endfor %}");
  auto codec = Codec::open(dir_);
  ASSERT_TRUE(codec) << codec.error().message;
  owned_ = std::move(*codec);
  Model& m = model([](const std::vector<int32_t>&) { return one_hot(kImEnd); });
  const auto some = m.generate(std::vector{prompt("bad"), prompt("good")}, {});
  ASSERT_TRUE(some);
  EXPECT_TRUE((*some)[0].refused);
  EXPECT_FALSE((*some)[1].refused);
  const auto all = m.generate(std::vector{prompt("bad")}, {});
  ASSERT_FALSE(all);
  EXPECT_EQ(all.error().code, ErrorCode::kBadInput);
  EXPECT_TRUE(m.generate(std::vector<Prompt>{}, {})->empty());
}

TEST_F(ModelTest, SamplingDependsOnSeedAndPromptOnly) {
  const auto words = codec_->encode_text("the order was sent to the customer");
  const auto next = [words](const std::vector<int32_t>& ids) {
    std::vector<float> out(kVocabulary, -20.0f);
    for (size_t i = 0; i < words.size(); ++i)
      out[static_cast<size_t>(words[i])] = 0.1f * static_cast<float>((ids.size() + i) % 5);
    return out;
  };
  Model& m = model(next);
  std::vector<Prompt> prompts;
  for (const char* text : {"a", "bb", "the order", "where is it", "d"}) prompts.push_back(prompt(text));
  GenerateOptions options;
  options.temperature = 1.0;
  options.max_new_tokens = 12;
  options.seed = 3;
  options.batch = 5;
  const auto together = m.generate(prompts, options);
  ASSERT_TRUE(together);
  options.batch = 1;
  const auto apart = m.generate(prompts, options);
  const auto only_last = m.generate(std::vector{prompts.back()}, options);
  std::set<std::string> seen;
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ((*together)[i].message, (*apart)[i].message);
    seen.insert(std::string((*together)[i].message.at("content").as_string()));
  }
  EXPECT_GT(seen.size(), 1u);
  EXPECT_EQ((*only_last)[0].message, (*together).back().message);
  options.seed = 4;
  EXPECT_NE((*m.generate(prompts, options))[0].message, (*together)[0].message);
}

// At temperature 1 the frequencies are the softmax of the logits; at 0.5 that of their doubles.
TEST_F(ModelTest, SamplingFollowsTheDistribution) {
  Model& m = model([](const std::vector<int32_t>&) {
    std::vector<float> out(kVocabulary, -100.0f);
    out[300] = 0.0f;
    out[301] = std::log(3.0f);  // three times as likely
    return out;
  });
  for (const auto& [temperature, share] : {std::pair{1.0, 0.75}, std::pair{0.5, 0.9}}) {
    GenerateOptions options;
    options.temperature = temperature;
    options.max_new_tokens = 1;
    int n_301 = 0;
    const int n = 2000;
    std::vector<Prompt> prompts;
    for (int i = 0; i < n; ++i) prompts.push_back(prompt(std::to_string(i)));
    const auto out = m.generate(prompts, options);
    ASSERT_TRUE(out);
    const auto wanted = codec_->decode_answer(std::vector<int32_t>{301}).at("content");
    for (const auto& answer : *out) n_301 += answer.message.at("content") == wanted;
    // Five standard deviations of a share of 2,000 draws.
    EXPECT_NEAR(static_cast<double>(n_301) / n, share, 5 * std::sqrt(share * (1 - share) / n));
  }
}

TEST_F(ModelTest, InterruptEndsGeneration) {
  Model& m = model([](const std::vector<int32_t>&) { return one_hot(300); });
  interrupt_flag() = true;
  const auto out = m.generate(std::vector{prompt("a")}, {});
  interrupt_flag() = false;
  ASSERT_FALSE(out);
  EXPECT_EQ(out.error().code, ErrorCode::kInterrupted);
}

TEST_F(ModelTest, NotANumberIsAnError) {
  Model& m = model([](const std::vector<int32_t>&) { return std::vector<float>(kVocabulary, std::nanf("")); });
  EXPECT_FALSE(m.generate(std::vector{prompt("a")}, {}));
}

TEST_F(ModelTest, PaddingOfTheVocabularyIsNeverChosen) {
  Model& m = model([](const std::vector<int32_t>& ids) {
    auto out = one_hot(ids.size() > 30 ? kImEnd : 300);
    for (size_t i = 425; i < out.size(); ++i) out[i] = 99;  // the tokenizer has 425 ids
    return out;
  });
  const auto out = m.generate(std::vector{prompt("a")}, {});
  ASSERT_TRUE(out);
  EXPECT_TRUE((*out)[0].ended);
}

// The network itself: batched, cached decoding takes at every step what the whole sequence's last logits prefer.
TEST_F(ModelTest, GreedyDecodingOfARealNetwork) {
  write_random_weights(dir_, 5);
  nn::EngineOptions engine;
  engine.dtype = nn::DType::kFloat32;
  const auto opened = Model::open(dir_, engine);
  ASSERT_TRUE(opened) << opened.error().message;
  Model& m = **opened;
  std::vector<Prompt> prompts;
  for (const char* text : {"a", "where is the order", "the parcel went back to the store", "x y"})
    prompts.push_back(prompt(text));
  GenerateOptions options;
  options.max_new_tokens = 16;
  const auto together = m.generate(prompts, options);
  ASSERT_TRUE(together) << together.error().message;
  const auto ends = m.codec().end_ids();
  for (size_t i = 0; i < prompts.size(); ++i) {
    auto ids = *m.codec().encode_prompt(prompts[i]);
    std::vector<int32_t> made;
    while (made.size() < 16) {
      const auto logits = m.engine().logits(ids);
      ASSERT_TRUE(logits);
      const auto last = logits->end() - kVocabulary;
      const auto best = static_cast<int32_t>(std::max_element(last, last + m.codec().n_ids()) - last);
      if (std::find(ends.begin(), ends.end(), best) != ends.end()) break;
      made.push_back(best);
      ids.push_back(best);
    }
    EXPECT_EQ((*together)[i].message, m.codec().decode_answer(made)) << i;
  }
}

const char* const kSchema = R"({"type": "object", "properties": {"intent": {"enum": ["refund", "status"]},
  "limit": {"type": "integer", "minimum": 1, "maximum": 20}, "note": {"type": "string", "maxLength": 8}},
  "required": ["intent", "limit"]})";

bool keeps_to_schema(const json::value& value) {
  const auto& object = value.as_object();
  const auto limit = get_int(object, "limit");
  return (object.at("intent") == "refund" || object.at("intent") == "status") && limit && *limit >= 1 && *limit <= 20;
}

// A tiny network of random weights at temperature 2, several answers together.
TEST_F(ModelTest, AnswersOfARealNetworkKeepToTheSchema) {
  write_random_weights(dir_, 9);
  nn::EngineOptions engine;
  engine.dtype = nn::DType::kFloat32;
  const auto opened = Model::open(dir_, engine);
  ASSERT_TRUE(opened) << opened.error().message;
  std::vector<Prompt> prompts;
  for (int i = 0; i < 24; ++i) prompts.push_back(prompt("order " + std::to_string(i)));
  GenerateOptions options;
  options.max_new_tokens = 100;
  options.temperature = 2;
  options.top_p = 0.99;
  options.batch = 8;
  options.schema = json::parse(kSchema);
  const auto out = (*opened)->generate(prompts, options);
  ASSERT_TRUE(out) << out.error().message;
  std::set<std::string> seen;
  for (const Answer& answer : *out) {
    ASSERT_TRUE(answer.ended);
    const std::string text(answer.message.at("content").as_string());
    const auto value = parse_json(text);
    ASSERT_TRUE(value) << text;
    EXPECT_TRUE(keeps_to_schema(*value)) << text;
    seen.insert(text);
  }
  EXPECT_GT(seen.size(), 12u);
  // Cut short, it says so.
  options.max_new_tokens = 3;
  const auto cut = (*opened)->generate(prompts, options);
  ASSERT_TRUE(cut);
  for (const Answer& answer : *cut) EXPECT_FALSE(answer.ended);
}

// However much the network wants to stop or to say something else.
TEST_F(ModelTest, ConstrainedGreedyAnswersEndOnlyWhenWhole) {
  Model& m = model([](const std::vector<int32_t>&) { return one_hot(kImEnd); });
  GenerateOptions options;
  options.schema = json::parse(kSchema);
  const auto out = m.generate(std::vector{prompt("a")}, options);
  ASSERT_TRUE(out) << out.error().message;
  EXPECT_TRUE((*out)[0].ended);
  EXPECT_TRUE(keeps_to_schema(json::parse((*out)[0].message.at("content").as_string())));
  options.schema = json::parse(R"({"type": "string", "pattern": "a"})");
  const auto refused = m.generate(std::vector{prompt("a")}, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupportedModel);
  EXPECT_NE(refused.error().message.find("pattern"), std::string::npos);
}

nn::AdapterFiles random_adapter(uint64_t seed) {
  Prng random(seed);
  std::vector<float> a(4 * 32), b(32 * 4);
  for (auto* part : {&a, &b})
    for (float& x : *part) x = static_cast<float>(random.normal());
  const std::string module = "base_model.model.model.layers.0.self_attn.q_proj.";
  const auto bytes = [](const std::vector<float>& data) {
    return std::span<const uint8_t>(reinterpret_cast<const uint8_t*>(data.data()), data.size() * 4);
  };
  const std::vector<nn::TensorToWrite> tensors = {{module + "lora_A.weight", "F32", {4, 32}, bytes(a)},
                                                  {module + "lora_B.weight", "F32", {32, 4}, bytes(b)}};
  nn::AdapterFiles files;
  files.config_json =
      R"({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"],
          "bias": "none", "fan_in_fan_out": false, "use_rslora": false, "use_dora": false})";
  files.weights = nn::write_safetensors(tensors);
  return files;
}

// Adapters change places over a base that is loaded once: its files are gone by then.
TEST_F(ModelTest, AdaptersSwapWithoutTheBaseBeingReadAgain) {
  write_random_weights(dir_, 5);
  nn::EngineOptions engine;
  engine.dtype = nn::DType::kFloat32;
  const auto opened = Model::open(dir_, engine);
  ASSERT_TRUE(opened) << opened.error().message;
  Model& m = **opened;
  std::filesystem::remove_all(dir_);
  const std::vector<int32_t> ids = {3, 300, 301, 17, 80};
  const auto logits = [&] {
    auto out = m.engine().logits(ids);
    EXPECT_TRUE(out);
    return *out;
  };
  const auto base = logits();
  const auto a = random_adapter(1), b = random_adapter(2);
  ASSERT_TRUE(m.engine().set_adapter(a));
  const auto with_a = logits();
  ASSERT_TRUE(m.engine().set_adapter(b));
  const auto with_b = logits();
  ASSERT_TRUE(m.engine().set_adapter(a));
  EXPECT_EQ(logits(), with_a);
  m.engine().clear_adapter();
  EXPECT_EQ(logits(), base);
  EXPECT_NE(with_a, base);
  EXPECT_NE(with_b, base);
  EXPECT_NE(with_a, with_b);
}

TEST_F(ModelTest, TokenizerMustFitTheNetwork) {
  const auto made = Model::from_parts(std::move(owned_), std::make_unique<FakeEngine>(100, 64, nullptr));
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, ErrorCode::kUnsupportedModel);
}

}  // namespace
}  // namespace slm::model

#include "finetune/peft.h"

#include <ATen/Parallel.h>
#include <gmock/gmock.h>

#include "finetune/toy_source.h"
#include "nn/tiny_llama.h"

namespace slm::testing {
namespace {

TEST(Peft, AnAdapterReadAndWrittenIsTheSame) {
  auto all = references();
  for (const auto& dir : family_dirs()) all.push_back(reference_in(dir));
  for (const auto& reference : all) {
    auto decoder = load(reference.dir);
    const auto adapter = nn::parse_adapter(reference.adapter()).value();
    ASSERT_TRUE(decoder.set_lora(adapter.config, adapter.pairs, false));
    const auto files = finetune::peft_files(decoder, "tiny");
    ASSERT_TRUE(files) << files.error().message;

    const auto ours = nn::SafeTensors::from_bytes(files->weights, "ours").value();
    const auto theirs = nn::SafeTensors::from_bytes(reference.adapter().weights, "theirs").value();
    ASSERT_EQ(ours.tensors().size(), theirs.tensors().size());
    for (const auto& [name, view] : theirs.tensors()) {
      // A Nemotron-H's have the hub's root, which peft takes for transformers' own.
      const std::string prefix(nn::kAdapterPrefix);
      const auto it = ours.tensors().find(prefix + nn::own_name(decoder.config(), name.substr(prefix.size())));
      ASSERT_NE(it, ours.tensors().end()) << name;
      EXPECT_TRUE(at::equal(to_tensor(it->second), to_tensor(view))) << name;
    }
    const auto our_config = parse_json(files->config_json).value().as_object();
    const auto their_config = parse_json(reference.adapter().config_json).value().as_object();
    for (const char* key : {"peft_type", "task_type", "r", "bias", "use_rslora", "use_dora"})
      EXPECT_EQ(our_config.at(key), their_config.at(key)) << key;
    EXPECT_EQ(get_number(our_config, "lora_alpha"), get_number(their_config, "lora_alpha"));
    EXPECT_EQ(our_config.at("target_modules").as_array().size(), their_config.at("target_modules").as_array().size());
    EXPECT_EQ(our_config.at("base_model_name_or_path"), "tiny");
    EXPECT_EQ(finetune::peft_files(decoder, "tiny")->config_json, files->config_json);

    // Where asked, what peft is to load and to agree with.
    if (const char* out = std::getenv("SLMCONV_INTEROP_OUT")) {
      const fs::path dir = fs::path(out) / reference.dir.filename();
      ASSERT_TRUE(make_dirs(dir));
      ASSERT_TRUE(write_file_atomic(dir / "adapter_config.json", files->config_json));
      ASSERT_TRUE(write_file_atomic(dir / "adapter_model.safetensors", files->weights));
      const auto ids = reference.ids(0);
      const at::Tensor logits = logits_of(decoder, ids).contiguous();
      const auto bytes = [](const void* p, size_t n) { return ByteSpan(static_cast<const uint8_t*>(p), n); };
      ASSERT_TRUE(write_file_atomic(
          dir / "ours.safetensors",
          nn::write_safetensors({{"ids", "I32", {static_cast<int64_t>(ids.size())}, bytes(ids.data(), ids.size() * 4)},
                                 {"logits", "F32", logits.sizes().vec(), bytes(logits.data_ptr(), logits.nbytes())}})));
    }
  }
}

TEST(Peft, NeedsAnAdapter) {
  const auto decoder = load(references()[0].dir);
  EXPECT_FALSE(finetune::peft_files(decoder, "tiny"));
}

}  // namespace
}  // namespace slm::testing

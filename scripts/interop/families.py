#!/usr/bin/env python3
"""Reference for every family of decoders: tiny random models through transformers, peft and bitsandbytes.

  families.py make DIR [--seed N] [--gradients] [--rows A,B]
                                                  writes DIR/<row>/: config.json, model.safetensors, adapter/ and expected.safetensors
                                                  (ids, logits, logits with the adapter, its loss and gradients; with
                                                  --gradients those of all weights too; for some rows (then for all)
                                                  losses of 20 AdamW steps and the adapter after them; for -nf4 rows the quantised weights)
  families.py logits PROGRAM DIR                  runs PROGRAM models logits on some of DIR's models and compares
  families.py adapters DIR OURS MERGED FILE       loads what slmconv wrote for DIR's models into peft (adapters, under OURS) and
                                                  transformers (merged models), compares logits, appends the deviations to FILE
  families.py distil DIR                          writes DIR/distil.safetensors: losses of distillation between DIR's models
  families.py logged DIR                          writes DIR/logged.safetensors: the same from the top k of a teacher's tokens
  families.py nf4 FILE                            matrices of awkward sizes as bitsandbytes quantises them
  families.py table FILE...                       turns the lines that nn_test wrote into the table of the README

Every parameter is random (norms and biases too: libraries make them 1 and 0, which would hide an error), key/value
heads are fewer than heads, head_dim differs from width / heads where the family lets it, windows and original contexts
are shorter than the sequences, and layer patterns are gone through twice. A row "-nf4" has its linears in bitsandbytes'
NF4 with double quantisation, "-dora" an adapter with DoRA; of the others every second adapter is rsLoRA. Half of the rows have a config.json of the
hub's older generation (rope_theta, rope_scaling), half one that transformers 5 writes (rope_parameters).
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

# (tokens of the prompt, of the whole example): shorter and longer than windows and original contexts.
LENGTHS = [(5, 17), (1, 9), (11, 12), (4, 31)]
BOUND = 1e-4  # max|Δ| / max|logit|
SHAPE = dict(vocab_size=37, hidden_size=24, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=64, bos_token_id=1, eos_token_id=2, pad_token_id=0)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=10)

NEMOTRON_H = dict(model_type="nemotron_h", head_dim=8, intermediate_size=20, mamba_num_heads=6, mamba_head_dim=5, n_groups=2, ssm_state_size=7,
                  conv_kernel=4, chunk_size=4, layer_norm_epsilon=1e-5, mlp_hidden_act="relu2", mamba_hidden_act="silu")
FALCON_FACTORS = dict(embedding_multiplier=5.6, lm_head_multiplier=0.3, key_multiplier=0.7, attention_in_multiplier=1.2, attention_out_multiplier=0.9,
                      ssm_in_multiplier=1.3, ssm_out_multiplier=0.6, mlp_multipliers=[0.8, 0.4], ssm_multipliers=[0.35, 0.6, 0.9, 1.4, 0.7])

# row: (models it stands for, older generation of config.json, fields beside SHAPE)
ROWS = {
    "llama": ("Llama 2, TinyLlama", True, dict(model_type="llama", rms_norm_eps=1e-5, rope_theta=5000.0)),
    "llama-tied": ("SmolLM2", True, dict(model_type="llama", head_dim=8, tie_word_embeddings=True, rope_theta=100000.0, rope_scaling=None)),
    "llama3": ("Llama 3.1, 3.2", True, dict(model_type="llama", head_dim=8, rope_theta=500000.0, rope_scaling=LLAMA3)),
    "llama3-new": ("R1-Distill-Llama, xLAM-2", False, dict(model_type="llama", head_dim=10, rope_parameters=LLAMA3 | dict(rope_theta=5000.0))),
    "llama-biased": ("Llama with attention_bias and mlp_bias", False, dict(model_type="llama", attention_bias=True, mlp_bias=True)),
    "llama-linear": ("Llama, linear positions", True, dict(model_type="llama", rope_scaling=dict(type="linear", factor=2.5))),
    "llama-dynamic": ("Llama, dynamic positions", True, dict(model_type="llama", max_position_embeddings=12, rope_scaling=dict(type="dynamic", factor=4.0))),
    "llama-yarn": ("Llama, YaRN", False, dict(model_type="llama", head_dim=16, rope_parameters=dict(
        rope_type="yarn", rope_theta=10000.0, factor=4.0, original_max_position_embeddings=10, beta_fast=4.0, beta_slow=1.0))),
    "mistral": ("Mistral", True, dict(model_type="mistral", head_dim=8, sliding_window=7, rope_theta=10000.0)),
    "qwen2": ("Qwen2, Qwen2.5, R1-Distill-Qwen", True, dict(model_type="qwen2", rope_theta=1000000.0, tie_word_embeddings=True,
                                                          use_sliding_window=False, sliding_window=7, max_window_layers=1)),
    "qwen2-yarn-window": ("Qwen2.5 with YaRN and windows", True, dict(
        model_type="qwen2", num_hidden_layers=4, use_sliding_window=True, sliding_window=7, max_window_layers=2,
        max_position_embeddings=16, rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=16))),
    "qwen3": ("Qwen3", True, dict(model_type="qwen3", head_dim=10, rope_theta=1000000.0, tie_word_embeddings=True)),
    "smollm3": ("SmolLM3", True, dict(model_type="smollm3", num_hidden_layers=8, rope_theta=5000000.0, no_rope_layer_interval=4)),
    "granite": ("Granite 3", False, dict(model_type="granite", embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22,
                                       attention_multiplier=0.07, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "phi": ("Phi-1.5, Phi-2", True, dict(model_type="phi", hidden_size=32, num_key_value_heads=4, partial_rotary_factor=0.5,
                                       layer_norm_eps=1e-5, hidden_act="gelu_new", rope_theta=10000.0)),
    "phi3": ("Phi-3-mini", True, dict(model_type="phi3", hidden_size=32, sliding_window=7, rope_theta=10000.0, rope_scaling=None,
                                    original_max_position_embeddings=64)),
    "phi3-longrope": ("Phi-3-mini-128k, Phi-3.5-mini, Phi-4-mini", True, dict(
        model_type="phi3", hidden_size=32, partial_rotary_factor=0.75, tie_word_embeddings=True, original_max_position_embeddings=10,
        rope_theta=10000.0, rope_scaling=dict(type="longrope", short_factor=[1.0, 1.1, 1.3], long_factor=[1.5, 2.0, 5.0]))),
    "gemma": ("Gemma 1", True, dict(model_type="gemma", head_dim=8, hidden_act="gelu_pytorch_tanh", rope_theta=10000.0)),
    "gemma2": ("Gemma 2", True, dict(model_type="gemma2", head_dim=8, num_hidden_layers=4, sliding_window=7, query_pre_attn_scalar=20,
                                   attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rope_theta=10000.0)),
    "gemma3": ("Gemma 3, text (hub's file)", True, dict(
        model_type="gemma3_text", head_dim=8, num_hidden_layers=6, sliding_window=7, sliding_window_pattern=3, query_pre_attn_scalar=20,
        rope_theta=1000000.0, rope_local_base_freq=1000.0, rope_scaling=dict(rope_type="linear", factor=8.0))),
    "gemma3-new": ("Gemma 3, text (transformers 5)", False, dict(
        model_type="gemma3_text", head_dim=8, num_hidden_layers=4, sliding_window=7, query_pre_attn_scalar=20,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1000000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=1000.0)))),
    "llama-dora": ("DoRA on a Llama", True, dict(model_type="llama", head_dim=8, tie_word_embeddings=True)),
    "qwen2-dora": ("DoRA on linears with biases", True, dict(model_type="qwen2")),
    "phi3-dora": ("DoRA on fused linears", True, dict(model_type="phi3", hidden_size=32, original_max_position_embeddings=64)),
    "llama-partial": ("adapters on some linears of a fused matrix", False, dict(
        model_type="llama", vocab_size=53, hidden_size=42, intermediate_size=36, num_attention_heads=3, num_key_value_heads=1, head_dim=12,
        max_position_embeddings=128, tie_word_embeddings=True, rms_norm_eps=1e-5, rope_theta=5000.0)),
    "llama-wide": ("heads wider than the model", False, dict(
        model_type="llama", vocab_size=61, intermediate_size=40, head_dim=8, max_position_embeddings=128, rms_norm_eps=1e-5, rope_theta=5000.0)),
    "llama-nf4": ("QLoRA on a Llama", True, dict(model_type="llama", head_dim=10)),
    "qwen2-nf4": ("QLoRA on linears with biases", True, dict(model_type="qwen2", tie_word_embeddings=True)),
    "phi3-nf4": ("QLoRA on fused linears", True, dict(model_type="phi3", hidden_size=40, original_max_position_embeddings=64)),
    "llama-nf4-dora": ("DoRA over NF4", True, dict(model_type="llama", hidden_size=40, head_dim=6)),
    "nemotron-h": ("Nemotron-H, Nemotron-Nano-9B-v2 (hub's file)", True, NEMOTRON_H | dict(
        hybrid_override_pattern="M-*M-*", num_hidden_layers=6, time_step_limit=[0.0, math.inf], time_step_min=1e-6)),
    "nemotron-h-new": ("Nemotron-H (transformers 5), time steps limited", False, NEMOTRON_H | dict(
        layers_block_type=["linear_attention", "full_attention", "mlp"] * 2, use_bias=True, mlp_bias=True, use_conv_bias=False,
        n_groups=3, time_step_limit=[0.6, math.inf], time_step_min=0.6)),
    "granite-h": ("Granite 4.0 h", True, dict(
        model_type="granitemoehybrid", num_hidden_layers=6, layer_types=["mamba", "attention", "mamba"] * 2, shared_intermediate_size=20,
        num_local_experts=0, num_experts_per_tok=0, position_embedding_type="nope", tie_word_embeddings=True, embedding_multiplier=12.0,
        logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.07, mamba_n_heads=8, mamba_d_head=6, mamba_n_groups=1,
        mamba_d_state=5, mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=4, mamba_conv_bias=True, mamba_proj_bias=False)),
    "granite-h-new": ("Granite 4.0 h (transformers 5), time steps limited, rotary", False, dict(
        model_type="granitemoehybrid", num_hidden_layers=4, layer_types=["linear_attention", "full_attention"] * 2, shared_intermediate_size=20,
        num_local_experts=0, num_experts_per_tok=0, position_embedding_type="rope", attention_bias=True, logits_scaling=3.0,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), mamba_n_heads=4, mamba_d_head="auto", mamba_n_groups=2,
        mamba_d_state=3, mamba_d_conv=3, mamba_chunk_size=7, mamba_conv_bias=False, mamba_proj_bias=True, time_step_limit=[0.6, 0.8])),
    "lfm2": ("LFM2", True, dict(
        model_type="lfm2", num_hidden_layers=6, full_attn_idxs=[2, 5], conv_L_cache=3, conv_bias=False, rope_theta=1000000.0, norm_eps=1e-5,
        block_auto_adjust_ff_dim=True, block_multiple_of=8, block_ffn_dim_multiplier=1.3, intermediate_size=40, tie_embedding=True)),
    "lfm2-new": ("LFM2 (transformers 5), with biases", False, dict(
        model_type="lfm2", num_hidden_layers=4, layer_types=["conv", "full_attention"] * 2, conv_L_cache=4, conv_bias=True,
        block_auto_adjust_ff_dim=False, tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=5000.0))),
    "falcon-h1": ("Falcon-H1", True, dict(
        model_type="falcon_h1", head_dim=8, rope_theta=100000000000.0, mamba_d_ssm=48, mamba_n_heads=8, mamba_d_head=6, mamba_n_groups=2,
        mamba_d_state=5, mamba_d_conv=4, mamba_chunk_size=4, mamba_rms_norm=False, mamba_norm_before_gate=False, **FALCON_FACTORS)),
    "falcon-h1-new": ("Falcon-H1 (transformers 5), gated norm, biases", False, dict(
        model_type="falcon_h1", mamba_d_ssm=36, mamba_n_heads=6, mamba_d_head=6, mamba_n_groups=3, mamba_d_state=4, mamba_d_conv=2,
        mamba_chunk_size=7, mamba_rms_norm=True, mamba_norm_before_gate=False, attention_bias=True, mlp_bias=True, mamba_proj_bias=True,
        projectors_bias=True, mamba_conv_bias=False, time_step_limit=[0.6, 0.8], tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), **FALCON_FACTORS)),
    "falcon-h1-norm": ("Falcon-H1, norm before the gate", False, dict(
        model_type="falcon_h1", mamba_d_ssm=24, mamba_n_heads=4, mamba_d_head=6, mamba_n_groups=2, mamba_d_state=4, mamba_rms_norm=True,
        mamba_norm_before_gate=True, mamba_chunk_size=5)),
}
# Widths of -nf4 rows are no multiples of 16: bitsandbytes 0.50.2 dequantises rows of such lengths wrongly on some CPUs unless
# they are multiples of its block of 64 (models that people use have those).
PARTIAL = {"llama-partial": ["q_proj", "v_proj", "up_proj"]}
ALL_GRADIENTS = ("llama-partial", "llama-wide", "nemotron-h", "granite-h-new", "lfm2-new", "falcon-h1-new")  # recorded always
# Of these, what 20 steps make of the adapter is recorded too; of fresh models with --gradients, of all.
TRAINED = ("llama-partial", "llama-wide", "llama-dora", "qwen2-nf4", "llama-nf4-dora", "nemotron-h-new", "falcon-h1")
N_STEPS = 20
ADAMW = dict(lr=3e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)
CLIP = 0.5


def randomise(model, seed):
    """Values that bfloat16 holds exactly, so that files may be of that type and still be what was computed with."""
    g = torch.Generator().manual_seed(seed)
    plus_one = any("Gemma" in type(m).__name__ for m in model.modules())
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            x = torch.randn(p.shape, generator=g)
            if "norm" in name and name.endswith("weight"):
                x = 0.4 * x + (0 if plus_one else 1)
            elif "conv" in name and p.ndim == 3:  # large enough, and decays slow enough, that what a state holds shows
                x = 0.8 * x
            elif name.endswith("A_log"):
                x = 0.5 * x - 1
            elif name.endswith(("dt_bias", ".D")):
                x = 0.5 * x
            else:
                x = 0.2 * x
            p.copy_(x.bfloat16().float())


def forget(model):
    """transformers' dynamic positions keep what the longest sequence so far made of them, until a short one comes."""
    with torch.no_grad():
        model(torch.tensor([[3, 4, 5]]))


def completion_loss(model, batch):
    total, n = 0, 0
    for ids, n_prompt in batch:
        forget(model)
        logits = model(ids[None]).logits[0].float()
        rows = range(max(1, n_prompt), len(ids))
        total = total + sum(torch.nn.functional.cross_entropy(logits[t - 1], ids[t]) for t in rows)
        n += len(rows)
    return total / n


def logits_of(model, ids):
    forget(model)
    with torch.no_grad():
        return model(ids[None]).logits[0].float().contiguous()


# peft takes no adapter on Mamba's output projection in these.
NO_OUT_PROJ = ("nemotron_h", "falcon_h1")


def targets_of(model):
    names = sorted({n.split(".")[-1] for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and "lm_head" not in n})
    return [n for n in names if n != "out_proj" or model.config.model_type not in NO_OUT_PROJ]


def in_file(name, row):
    """A parameter's name as checkpoints have it."""
    return name.replace("model.", "backbone.", 1) if row.startswith("nemotron-h") and name.startswith("model.") else name


def plain(name, row):
    return in_file(name.removeprefix("base_model.model."), row).replace(".default", "").replace("magnitude_vector.weight", "magnitude_vector")


def load_base(directory, row):
    nf4 = dict(device_map="cpu", quantization_config=transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=torch.float32)) if "-nf4" in row else {}
    model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager", **nf4).eval()
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):  # a bfloat16 kernel on some CPUs, which takes no small matrices
            module.support_avx512bf16_for_cpu = False
    return model


def quantised(model):
    """What bitsandbytes made of each linear: bytes, blocks' scales, their scales and offset."""
    out = {}
    for name, module in model.named_modules():
        state = getattr(getattr(module, "weight", None), "quant_state", None)
        if state is None:
            continue
        assert state.quant_type == "nf4" and state.blocksize == 64 and state.nested and state.state2.blocksize == 256
        out[f"nf4.{name}.weight.packed"] = module.weight.data.reshape(-1).clone()
        out[f"nf4.{name}.weight.scales"] = state.absmax.clone()
        out[f"nf4.{name}.weight.outer_scales"] = state.state2.absmax.clone()
        out[f"nf4.{name}.weight.offset"] = state.offset.reshape(1).clone()
        out["nf4.map"] = state.state2.code.clone()
    return out


def nf4_matrix(rows, columns, zeros):
    """Numbers of ten bits and a power of two, so that no sum of them depends on its order; tests/nn/nf4_test.cc makes them too."""
    i = torch.arange(rows * columns, dtype=torch.int64)
    x = (((i * 2654435761) % 2**32) >> 22).float() - 511.5
    x = x * 2.0 ** (i // 64 * 7 % 5).float()
    x[:zeros] = 0
    return x.view(rows, columns)


def make_nf4(file):
    from bitsandbytes import functional
    torch.set_num_threads(1)
    out = {}
    for rows, columns, zeros in ((130, 130, 0), (5, 13, 0), (4, 40, 64), (4, 16, 0), (2, 32, 64)):
        packed, state = functional.quantize_4bit(nf4_matrix(rows, columns, zeros), quant_type="nf4", compress_statistics=True)
        name = f"{rows}.{columns}.{zeros}."
        out |= {name + "packed": packed.reshape(-1), name + "scales": state.absmax, name + "outer_scales": state.state2.absmax,
                name + "offset": state.offset.reshape(1)}
        if rows < 100:
            out |= {name + "float32": functional.dequantize_4bit(packed, state).contiguous()}
    save_file(out, file)


def train(model, batch):
    """Losses of N_STEPS steps of torch's AdamW; matrices decay."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [dict(params=[p for p in parameters if p.ndim > 1]), dict(params=[p for p in parameters if p.ndim == 1], weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, **ADAMW)
    losses = []
    for _ in range(N_STEPS):
        optimiser.zero_grad()
        loss = completion_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, CLIP)
        optimiser.step()
        losses.append(loss.item())
    return losses


def make_row(out, row, seed, gradients):
    _, older, fields = ROWS[row]
    fields = SHAPE | fields
    config = transformers.AutoConfig.for_model(**json.loads(json.dumps(fields)))
    model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
    randomise(model, seed)
    model.to(torch.bfloat16 if seed % 2 == 0 else torch.float32).save_pretrained(out)
    architecture = type(model).__name__
    if older:
        fields = {"architectures": [architecture], "torch_dtype": "bfloat16"} | fields
        (out / "config.json").write_text(json.dumps(fields, indent=2) + "\n")
    (out / "generation_config.json").unlink(missing_ok=True)
    model = load_base(out, row)

    g = torch.Generator().manual_seed(seed + 1)
    batch = [(torch.randint(3, fields["vocab_size"], (whole,), generator=g), prompt) for prompt, whole in LENGTHS]
    # Two examples begin alike, so that a batch of ours shares what they begin with.
    batch[3][0][:12] = batch[0][0][:12]
    expected = {}
    for i, (ids, n_prompt) in enumerate(batch):
        expected[f"ids.{i}"] = ids.int()
        expected[f"n_prompt.{i}"] = torch.tensor([n_prompt], dtype=torch.int32)
        expected[f"logits.{i}"] = logits_of(model, ids)
    if "-nf4" in row:
        expected |= quantised(model)
    elif gradients or row in ALL_GRADIENTS:
        loss = completion_loss(model, batch)
        loss.backward()
        expected["loss"] = loss.detach().reshape(1)
        for n, p in model.named_parameters():
            expected[f"grad.{in_file(n, row)}"] = p.grad.clone()
        model.zero_grad()

    lora = peft.LoraConfig(r=2, lora_alpha=5, target_modules=PARTIAL.get(row) or targets_of(model), task_type="CAUSAL_LM", lora_dropout=0.0,
                           use_rslora=seed % 2 == 0, use_dora=row.endswith("-dora"))
    adapted = peft.get_peft_model(model, lora)
    g.manual_seed(seed + 2)
    with torch.no_grad():
        for n, p in adapted.named_parameters():
            if "lora_magnitude" in n:
                p.mul_(1 + 0.3 * torch.rand(p.shape, generator=g))
            elif "lora_" in n:
                p.copy_((0.15 * torch.randn(p.shape, generator=g)).bfloat16().float())
    adapted.save_pretrained(out / "adapter")
    (out / "adapter" / "README.md").unlink(missing_ok=True)
    settings = json.loads((out / "adapter" / "adapter_config.json").read_text())
    settings["target_modules"].sort()  # peft writes a set
    (out / "adapter" / "adapter_config.json").write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    for i, (ids, _) in enumerate(batch):
        expected[f"adapted_logits.{i}"] = logits_of(adapted, ids)
    loss = completion_loss(adapted, batch)
    loss.backward()
    expected["adapted_loss"] = loss.detach().reshape(1)
    for n, p in adapted.named_parameters():
        if p.requires_grad:
            expected[f"adapted_grad.{plain(n, row)}"] = p.grad.clone()
    if gradients or row in TRAINED:
        expected["step_losses"] = torch.tensor(train(adapted, batch))
        expected |= {f"trained.{plain(n, row)}": p.detach().clone() for n, p in adapted.named_parameters() if p.requires_grad}
    save_file(expected, out / "expected.safetensors")


def make(directory, seed, gradients, rows):
    torch.set_num_threads(1)  # one order of every sum, bitsandbytes' offsets among them
    for i, row in enumerate(ROWS):
        if not rows or row in rows:
            make_row(directory / row, row, seed + i, gradients)
    print(f"made {len(rows or ROWS)} models with torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")


# (student, teacher, share of the teacher, temperature, tokens in common): the last teacher knows more tokens.
DISTIL = [("llama-tied", "qwen3", 0.7, 2.0, 37), ("gemma2", "gemma2", 1.0, 1.0, 37), ("qwen2-nf4", "llama-wide", 0.5, 3.0, 37),
          ("llama-wide", "llama-partial", 0.4, 1.5, 53)]


def distil(directory):
    """A student with its adapter learns from a plain teacher on the student's examples."""
    F = torch.nn.functional
    torch.set_num_threads(1)
    out = {}
    for student, teacher, share, t, common in DISTIL:
        expected = load_file(directory / student / "expected.safetensors")
        model = peft.PeftModel.from_pretrained(load_base(directory / student, student), directory / student / "adapter", is_trainable=True).eval()
        theirs = load_base(directory / teacher, teacher)
        total, n = 0, 0
        for i in range(len(LENGTHS)):
            ids, n_prompt = expected[f"ids.{i}"].long().clamp(max=common - 1), int(expected[f"n_prompt.{i}"])
            forget(model)
            q = model(ids[None]).logits[0].float()
            p = logits_of(theirs, ids)
            rows = torch.arange(max(1, n_prompt), len(ids)) - 1
            kl = F.kl_div(F.log_softmax(q[rows, :common] / t, -1), F.log_softmax(p[rows, :common] / t, -1), log_target=True, reduction="sum")
            total = total + share * t * t * kl + (1 - share) * F.cross_entropy(q[rows], ids[rows + 1], reduction="sum")
            n += len(rows)
        (total / n).backward()
        out[f"{student}.loss"] = (total / n).detach().reshape(1)
        for name, p in model.named_parameters():
            if p.requires_grad:
                out[f"{student}.grad.{plain(name, student)}"] = p.grad.clone()
    save_file(out, directory / "distil.safetensors")


# (student, teacher, share, tokens logged in each place). Of the teacher's list every second one of the second pair lacks
# its third token, and every fourth place has no list at all.
LOGGED = [("llama-tied", "qwen3", 0.7, 4), ("qwen2-nf4", "llama-wide", 1.0, 6), ("gemma2", "gemma2", 0.3, 37)]


def logged(directory):
    """A student with its adapter learns from the likeliest tokens of a teacher; all others are one bucket."""
    F = torch.nn.functional
    torch.set_num_threads(1)
    out = {}
    for student, teacher, share, k in LOGGED:
        expected = load_file(directory / student / "expected.safetensors")
        model = peft.PeftModel.from_pretrained(load_base(directory / student, student), directory / student / "adapter", is_trainable=True).eval()
        theirs = load_base(directory / teacher, teacher)
        total, n = 0, 0
        for i in range(len(LENGTHS)):
            ids, n_prompt = expected[f"ids.{i}"].long().clamp(max=36), int(expected[f"n_prompt.{i}"])
            forget(model)
            log_q = F.log_softmax(model(ids[None]).logits[0].float(), -1)
            p = F.softmax(logits_of(theirs, ids)[:, :37], -1)
            places, lists, chances = [], [], []
            for t in range(max(1, n_prompt), len(ids)):
                nll = -log_q[t - 1, ids[t]]
                n += 1
                if t % 4 == 3:
                    total = total + nll
                    continue
                top = p[t - 1].topk(k)
                keep = [j for j in range(k) if not (student == "qwen2-nf4" and t % 2 and j == 2)]
                known, chance = top.indices[keep], top.values[keep]
                rest = (1 - chance.sum()).clamp(min=0)
                chance, rest = chance / (chance.sum() + rest), rest / (chance.sum() + rest)
                others = torch.ones(log_q.shape[1], dtype=torch.bool)
                others[known] = False
                kl = F.kl_div(log_q[t - 1, known], chance, reduction="sum")
                if rest > 0:
                    kl = kl + rest * (rest.log() - log_q[t - 1, others].logsumexp(0))
                total = total + share * kl + (1 - share) * nll
                places.append(t)
                lists.append(F.pad(known, (0, k - len(known)), value=-1))
                chances.append(F.pad(top.values[keep], (0, k - len(known))))
            if not places:
                continue
            out[f"{student}.at.{i}"] = torch.tensor(places, dtype=torch.int32)
            out[f"{student}.ids.{i}"] = torch.stack(lists).int()
            out[f"{student}.p.{i}"] = torch.stack(chances)
        (total / n).backward()
        out[f"{student}.loss"] = (total / n).detach().reshape(1)
        for name, p in model.named_parameters():
            if p.requires_grad:
                out[f"{student}.grad.{plain(name, student)}"] = p.grad.clone()
    save_file(out, directory / "logged.safetensors")


def program_logits(program, directory, ids, *more):
    command = [program, "models", "logits", str(directory), "--ids", ",".join(map(str, ids)), "--dtype", "float32", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return torch.tensor(next(r["logits"] for r in rows if "logits" in r))


def check_logits(program, directory):
    good = True
    for row in ("llama-partial", "llama-wide", "llama-nf4"):
        expected = load_file(directory / row / "expected.safetensors")
        nf4 = ["--nf4"] if "-nf4" in row else []
        for what, more in (("logits", []), ("adapted_logits", ["--adapter", str(directory / row / "adapter")])):
            for i in range(len(LENGTHS)):
                theirs = expected[f"{what}.{i}"]
                ours = program_logits(program, directory / row, expected[f"ids.{i}"].tolist(), *nf4, *more)
                deviation = (ours - theirs).abs().max().item() / theirs.abs().max().item()
                print(f"{'ok  ' if deviation <= BOUND else 'FAIL'} {row} {i}, {what}: {deviation:.1e}")
                good &= deviation <= BOUND
    return good


def adapters(directory, ours, merged, file):
    """Logits of our adapter in peft, and of our merged model in transformers, against those computed here and there."""
    good = True
    with open(file, "a") as out:
        def say(row, what, mine, theirs):
            deviation = (mine - theirs).abs().max().item() / theirs.abs().max().item()
            print(f"{'ok  ' if deviation <= BOUND else 'FAIL'} {row}, {what}: {deviation:.1e}")
            out.write(json.dumps({"row": row, what: deviation}) + "\n")
            return deviation <= BOUND

        for row in ROWS:
            adapted = peft.PeftModel.from_pretrained(load_base(directory / row, row), ours / row).eval()
            expected = load_file(ours / row / "ours.safetensors")
            good &= say(row, "in_peft", expected["logits"], logits_of(adapted, expected["ids"].long()))
            theirs = load_file(directory / row / "expected.safetensors")
            good &= say(row, "merged", logits_of(load_base(merged / row, ""), theirs["ids.0"].long()), theirs["adapted_logits.0"])
    return good


def table(files):
    rows = {}
    for file in files:
        for line in pathlib.Path(file).read_text().splitlines():
            row = json.loads(line)
            kept = rows.setdefault(row.pop("row"), {})
            for what, deviation in row.items():
                kept[what] = max(deviation, kept.get(what, 0))
    print("| family (`model_type`) | stands for | logits | their adapter in ours | ours in peft | merged | gradients | 20 AdamW steps | decoding |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (stands_for, _, fields) in ROWS.items():
        r = rows[name]
        cells = [f"{r[k]:.0e}" if k in r else "" for k in ("logits", "adapted", "in_peft", "merged", "gradients", "trained", "decoding")]
        print(f"| {name} (`{fields['model_type']}`) | {stands_for} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("make")
    sub.add_argument("directory", type=pathlib.Path)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--gradients", action="store_true")
    sub.add_argument("--rows", type=lambda s: s.split(","), default=[])
    sub = commands.add_parser("logits")
    sub.add_argument("program")
    sub.add_argument("directory", type=pathlib.Path)
    sub = commands.add_parser("adapters")
    sub.add_argument("directory", type=pathlib.Path)
    sub.add_argument("ours", type=pathlib.Path)
    sub.add_argument("merged", type=pathlib.Path)
    sub.add_argument("file", type=pathlib.Path)
    sub = commands.add_parser("distil")
    sub.add_argument("directory", type=pathlib.Path)
    sub = commands.add_parser("logged")
    sub.add_argument("directory", type=pathlib.Path)
    sub = commands.add_parser("nf4")
    sub.add_argument("file", type=pathlib.Path)
    sub = commands.add_parser("table")
    sub.add_argument("files", nargs="+")
    args = parser.parse_args()
    if args.command == "make":
        make(args.directory, args.seed, args.gradients, args.rows)
    elif args.command == "distil":
        distil(args.directory)
    elif args.command == "logged":
        logged(args.directory)
    elif args.command == "nf4":
        make_nf4(args.file)
    elif args.command == "logits":
        return 0 if check_logits(args.program, args.directory) else 1
    elif args.command == "adapters":
        return 0 if adapters(args.directory, args.ours, args.merged, args.file) else 1
    else:
        table(args.files)
    return 0


if __name__ == "__main__":
    sys.exit(main())

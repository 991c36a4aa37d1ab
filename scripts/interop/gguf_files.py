#!/usr/bin/env python3
"""Reference for GGUF files: what llama.cpp makes of those that slmconv writes.

  gguf_files.py make DIR [--seed N] [--rows …]   (transformers and peft) writes DIR/<row>/: a tiny random model of each family with an
                                adapter, a tokenizer, a chat template, texts.json
  gguf_files.py compare DIR FILE      (llama-cpp-python, gguf) opens the files that slmconv left in DIR/<row>/ and compares
                                logits, greedy ids, adapters' logits and token ids with slmconv's; writes lines to FILE
  gguf_files.py table FILE            turns them into the table of the README
  gguf_files.py reference FILE        (gguf) writes tests/data/gguf/reference.gguf: values in every format, metadata of every type

The models are families.py's, in shapes whose rows are whole blocks of 32 values, with tokenizers of every kind that is
written: byte-level BPE of each pre-tokenizer, SentencePiece's BPE from tokenizer.model and from tokenizer.json.
"""
import argparse
import json
import math
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "tests" / "data"
# max|Δ| / max|logit|. In f16 llama.cpp rounds a matrix product's input to half precision, too; its GELU is a table of half
# precision whatever the file.
F16_BOUND, F32_BOUND, F32_GELU_BOUND = 1e-2, 1e-4, 2e-3
SEED_STEP = 100
N_RANDOM = 300

SHAPE = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=128)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=40)
YARN = dict(factor=4.0, original_max_position_embeddings=32)
SHORT, LONG = [1.0, 1.1, 1.2, 1.3, 1.4, 1.5], [1.5, 2.0, 3.0, 4.0, 4.5, 5.0]


def longrope(original):
    return dict(model_type="phi3", partial_rotary_factor=0.75, tie_word_embeddings=True, rope_theta=10000.0, max_position_embeddings=4 * original,
                original_max_position_embeddings=original, rope_scaling=dict(type="longrope", short_factor=SHORT, long_factor=LONG))

NEMOTRON_H = dict(model_type="nemotron_h", head_dim=32, intermediate_size=96, mamba_num_heads=6, mamba_head_dim=16, n_groups=2, ssm_state_size=16,
                  conv_kernel=4, chunk_size=4, mamba_hidden_act="silu", mlp_hidden_act="relu2", layer_norm_epsilon=1e-5, use_bias=False,
                  mlp_bias=False, attention_bias=False, use_conv_bias=True)
FALCON_FACTORS = dict(embedding_multiplier=5.6, lm_head_multiplier=0.3, key_multiplier=0.7, attention_in_multiplier=1.2, attention_out_multiplier=0.9,
                      ssm_in_multiplier=1.3, ssm_out_multiplier=0.8, mlp_multipliers=[0.9, 1.1], ssm_multipliers=[0.7, 1.1, 0.6, 0.8, 1.2])

# row: (models it stands for, tokenizer, older generation of config.json, fields beside SHAPE)
ROWS = {
    "llama": ("Llama 2, TinyLlama", "llama2-json", True, dict(model_type="llama", rms_norm_eps=1e-5, rope_theta=5000.0)),
    "llama-tied": ("SmolLM2", "smollm", True, dict(model_type="llama", tie_word_embeddings=True, rope_theta=100000.0)),
    "llama3": ("Llama 3.1, 3.2, R1-Distill-Llama, xLAM-2", "llama3", False, dict(model_type="llama", head_dim=32, rope_parameters=LLAMA3 | dict(rope_theta=5000.0))),
    "llama-biased": ("Llama with attention_bias and mlp_bias", "llama3-merges", False, dict(model_type="llama", intermediate_size=80, attention_bias=True, mlp_bias=True)),
    "llama-linear": ("Llama, linear positions", "sentencepiece", True, dict(model_type="llama", rope_scaling=dict(type="linear", factor=2.5))),
    "llama-yarn": ("Llama, YaRN", "llama3", False, dict(model_type="llama", rope_parameters=YARN | dict(rope_type="yarn", rope_theta=10000.0))),
    "mistral": ("Mistral (context: one window)", "sentencepiece", True, dict(model_type="mistral", head_dim=32, sliding_window=48, rope_theta=10000.0)),
    "qwen2": ("Qwen2, Qwen2.5, R1-Distill-Qwen", "qwen2", True, dict(model_type="qwen2", rope_theta=1000000.0, tie_word_embeddings=True, use_sliding_window=False)),
    "qwen2-yarn": ("Qwen2.5 with YaRN", "qwen2", True, dict(model_type="qwen2", max_position_embeddings=32, rope_scaling=YARN | dict(type="yarn"))),
    "qwen3": ("Qwen3", "qwen2", True, dict(model_type="qwen3", head_dim=32, rope_theta=1000000.0, tie_word_embeddings=True)),
    "smollm3": ("SmolLM3", "llama3", True, dict(model_type="smollm3", num_hidden_layers=8, rope_theta=5000000.0, no_rope_layer_interval=4)),
    "granite": ("Granite 3", "smollm", False, dict(model_type="granite", embedding_multiplier=12.0, logits_scaling=8.0, residual_multiplier=0.22,
                                                   attention_multiplier=0.07, tie_word_embeddings=True,
                                                   rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "phi": ("Phi-1.5, Phi-2", "phi2", True, dict(model_type="phi", num_key_value_heads=4, partial_rotary_factor=0.5, layer_norm_eps=1e-5,
                                                 hidden_act="gelu_new", rope_theta=10000.0)),
    "phi3": ("Phi-3-mini (context: one window)", "phi3", True, dict(model_type="phi3", sliding_window=48, rope_theta=10000.0, rope_scaling=None,
                                                                    original_max_position_embeddings=128)),
    "phi3-longrope": ("Phi-3-mini-128k, Phi-3.5-mini: beyond the original context", "phi3", True, longrope(16)),
    "phi3-longrope-short": ("Phi-3-mini-128k, Phi-3.5-mini: within it", "phi3", True, longrope(512)),
    "gemma": ("Gemma 1", "gemma-json", True, dict(model_type="gemma", head_dim=32, hidden_act="gelu_pytorch_tanh", rope_theta=10000.0)),
    "gemma2": ("Gemma 2", "gemma-json", True, dict(model_type="gemma2", head_dim=32, num_hidden_layers=4, sliding_window=7, query_pre_attn_scalar=32,
                                                   attn_logit_softcapping=5.0, final_logit_softcapping=3.0, rope_theta=10000.0)),
    "gemma3": ("Gemma 3, text (hub's file)", "gemma-json", True, dict(
        model_type="gemma3_text", head_dim=32, num_hidden_layers=6, sliding_window=7, sliding_window_pattern=3, query_pre_attn_scalar=32,
        rope_theta=1000000.0, rope_local_base_freq=1000.0, rope_scaling=dict(rope_type="linear", factor=8.0))),
    "gemma3-new": ("Gemma 3, text (transformers 5)", "gemma-json", False, dict(
        model_type="gemma3_text", head_dim=32, num_hidden_layers=4, sliding_window=7, query_pre_attn_scalar=32,
        layer_types=["sliding_attention", "full_attention"] * 2,
        rope_parameters=dict(full_attention=dict(rope_type="default", rope_theta=1000000.0),
                             sliding_attention=dict(rope_type="default", rope_theta=1000.0)))),
    "lfm2": ("LFM2, LFM2.5", "llama3", True, dict(
        model_type="lfm2", num_hidden_layers=6, full_attn_idxs=[2, 5], conv_L_cache=3, conv_bias=False, rope_theta=1000000.0, norm_eps=1e-5,
        block_auto_adjust_ff_dim=True, block_multiple_of=32, block_ffn_dim_multiplier=1.3, intermediate_size=160, tie_embedding=True)),
    "granite-h": ("Granite 4.0 h, dense (350m, 1b, micro)", "llama3-merges", True, dict(
        model_type="granitemoehybrid", num_hidden_layers=6, layer_types=["mamba", "attention", "mamba"] * 2, shared_intermediate_size=96,
        num_local_experts=0, num_experts_per_tok=0, position_embedding_type="nope", tie_word_embeddings=True, embedding_multiplier=12.0,
        logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.07, mamba_n_heads=8, mamba_d_head=16, mamba_n_groups=1,
        mamba_d_state=16, mamba_d_conv=4, mamba_expand=2, mamba_chunk_size=4, mamba_conv_bias=True, mamba_proj_bias=False)),
    "granite-h-rope": ("the same with positions, biases, groups", "llama3-merges", False, dict(
        model_type="granitemoehybrid", num_hidden_layers=4, layer_types=["linear_attention", "full_attention"] * 2, shared_intermediate_size=96,
        num_local_experts=0, num_experts_per_tok=0, position_embedding_type="rope", attention_bias=True, logits_scaling=3.0,
        tie_word_embeddings=False, rope_parameters=dict(rope_type="default", rope_theta=10000.0), mamba_n_heads=4, mamba_d_head="auto",
        mamba_n_groups=2, mamba_d_state=16, mamba_d_conv=3, mamba_chunk_size=7, mamba_conv_bias=True, mamba_proj_bias=False)),
    "granite-4": ("Granite 4.0, without Mamba (micro, 1b, 350m)", "llama3-merges", False, dict(
        model_type="granitemoehybrid", num_hidden_layers=3, layer_types=["full_attention"] * 3, shared_intermediate_size=96,
        num_local_experts=0, num_experts_per_tok=0, position_embedding_type="rope", tie_word_embeddings=True, embedding_multiplier=12.0,
        logits_scaling=8.0, residual_multiplier=0.22, attention_multiplier=0.07,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0))),
    "nemotron-h": ("Nemotron-H, Nemotron-Nano-9B-v2 (hub's file)", "llama3", True, NEMOTRON_H | dict(
        hybrid_override_pattern="M-*M-*", num_hidden_layers=6, time_step_limit=[0.0, math.inf], time_step_min=1e-6)),
    "nemotron-h-new": ("Nemotron-H (transformers 5), biases", "llama3", False, NEMOTRON_H | dict(
        layers_block_type=["linear_attention", "full_attention", "mlp"] * 2, mlp_bias=True, n_groups=1)),
    "falcon-h1": ("Falcon-H1", "llama3", True, dict(
        model_type="falcon_h1", head_dim=32, rope_theta=100000000000.0, mamba_d_ssm=96, mamba_n_heads=12, mamba_d_head=8, mamba_n_groups=2,
        mamba_d_state=16, mamba_d_conv=4, mamba_chunk_size=4, mamba_rms_norm=False, mamba_norm_before_gate=False, **FALCON_FACTORS)),
    "falcon-h1-tied": ("Falcon-H1 (transformers 5), gated norm, biases, tied", "llama3", False, dict(
        model_type="falcon_h1", mamba_d_ssm=96, mamba_n_heads=6, mamba_d_head=16, mamba_n_groups=3, mamba_d_state=16, mamba_d_conv=2,
        mamba_chunk_size=7, mamba_rms_norm=True, mamba_norm_before_gate=False, mlp_bias=True, tie_word_embeddings=True,
        rope_parameters=dict(rope_type="default", rope_theta=10000.0), **FALCON_FACTORS)),
}

TEXTS = [
    "The order was sent.", " leading space", "two  spaces   and trailing  ", "line one\nline two\n\n\tindented\r\n  x",
    "Grüße aus Köln, 東京 und 🙂!", "Где мой заказ? Πού είναι η παραγγελία μου;", "أين طلبي؟ איפה ההזמנה שלי?", "मेरा ऑर्डर कहाँ है? คำสั่งซื้อ",
    "한국어 주문 我的订单在哪里？", "1234567890 3.14 1,000 ٣٤٥", "it's I'm they'LL we'Ve don't", "{\"name\": \"find_order\", \"arguments\": {\"order_id\": \"A-1042\"}}",
    "def find(order_id, limit=3):\n    for i in range(limit):\n        print(i + 1042)\n", "if (a != b) { return a->x[3] && !b; } // end",
]
TEMPLATE = ("{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' -}}{%- endfor -%}"
            "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\\n' -}}{%- endif -%}")
WITH_BOS = "{{- bos_token -}}" + TEMPLATE
PHI3 = ("{{- bos_token -}}{%- for m in messages -%}{{- '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' -}}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|assistant|>\\n' -}}{%- endif -%}")
PROMPTS = [[{"role": "user", "content": text}] for text in TEXTS[:6]]


POOLS = ["abcdefghijklmnop ", "eEaAsStT''", "  \n", " ", "0123456789", ".,;:!?()[]{}<>=+-*/\"'_", "éüßçñøåÉÜ", "агдеЖЯ", "αβΣς", "אבגש", "سلام", "कखगािी्",
         "กขคำ", "東京你好かナ", "한국어", "🙂👧🇩🇪", "the order ", "it's we'LL ", "def f(x):\n    return "]


def random_texts(seed, n):
    """Composed already (NFC), without control characters: what llama.cpp does otherwise than libraries is said in the README."""
    import random
    import unicodedata
    rng = random.Random(seed)
    texts = []
    for _ in range(n):
        parts = []
        for _ in range(rng.randint(1, 12)):
            pool = rng.choice(POOLS)
            parts.append(pool if rng.random() < 0.3 else "".join(rng.choice(pool) for _ in range(rng.randint(1, 8))))
        texts.append(unicodedata.normalize("NFC", "".join(parts)))
    return texts


def token(content, id, **flags):
    return dict(id=id, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True) | flags


def from_sentencepiece(added, prefix):
    """tests/data/tiny-tokenizer as tokenizer.json: merges are all pairs of pieces that make a piece, by its score."""
    import sentencepiece
    model = sentencepiece.SentencePieceProcessor(model_file=str(DATA / "tiny-tokenizer" / "tokenizer.model"))
    pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    vocab = {piece: i for i, piece in enumerate(pieces)}
    merges = []
    for i, piece in enumerate(pieces):
        if model.is_unknown(i) or model.is_control(i) or model.is_byte(i):
            continue
        local = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        local = sorted((vocab[a], vocab[b], a, b) for a, b in local if a in vocab and b in vocab)
        merges += [(-model.get_score(i), a, b) for _, _, a, b in local]
    merges.sort(key=lambda m: m[0])
    if not prefix:  # Gemma's runs of spaces and line breaks: added tokens, and what merges before all else
        runs = ["\n" * n for n in range(1, 5)] + ["▁" * n for n in range(2, 9)]
        for run in runs:
            vocab.setdefault(run, len(vocab))
        first = [(run[:i], run[i:]) for run in runs for i in range(1, len(run))]
        merges = [(0, a, b) for a, b in sorted(first, key=lambda m: (len(m[0]), len(m[1])))] + [m for m in merges if m[1] + m[2] not in runs]
        added = [(run, dict(special=False)) for run in runs] + added
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    normalizer = {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, replace]} if prefix else replace
    split = {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": False}
    added_tokens = [token("<unk>", 0), token("<s>", 1), token("</s>", 2)]
    n = len(vocab)
    for content, flags in added:
        added_tokens.append(token(content, vocab.get(content, n), **flags))
        n += content not in vocab
    return {"version": "1.0", "truncation": None, "padding": None,
            "added_tokens": added_tokens,
            "normalizer": normalizer, "pre_tokenizer": None if prefix else split, "post_processor": None,
            "decoder": {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                                                         {"type": "ByteFallback"}, {"type": "Fuse"}]},
            "model": {"type": "BPE", "dropout": None, "unk_token": "<unk>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
                      "fuse_unk": True, "byte_fallback": True, "ignore_merges": False, "vocab": vocab, "merges": [[a, b] for _, a, b in merges]}}


def tokenizer(kind, out):
    """Writes the files; returns ids, the first that may be drawn, bos and end of turn ids."""
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>"}
    chat = TEMPLATE
    marks = [("<|im_start|>", {}), ("<|im_end|>", {}), ("<tool_call>", dict(special=False))]
    if kind == "sentencepiece":
        (out / "tokenizer.model").write_bytes((DATA / "tiny-tokenizer" / "tokenizer.model").read_bytes())
        config |= {"tokenizer_class": "LlamaTokenizer", "legacy": False, "bos_token": "<s>", "unk_token": "<unk>", "added_tokens_decoder": {
            str(420 + i): {k: v for k, v in token(c, 0, **flags).items() if k != "id"} for i, (c, flags) in enumerate(marks)}}
        n = 423
    elif kind in ("llama2-json", "gemma-json"):
        file = from_sentencepiece(marks, kind == "llama2-json")
        config |= {"bos_token": "<s>", "unk_token": "<unk>"}
        chat = WITH_BOS
    elif kind == "phi3":
        strips = ["<|system|>", "<|end|>", "<|user|>", "<|assistant|>"]
        file = from_sentencepiece([("<|endoftext|>", {})] + [(c, dict(rstrip=True)) for c in strips], True)
        file["added_tokens"][2]["rstrip"] = True  # </s>
        config |= {"bos_token": "<s>", "unk_token": "<unk>", "eos_token": "<|end|>"}
        chat = PHI3
    else:
        file = json.loads((DATA / "text" / "tokenizers" / f"{kind.split('-')[0]}.json").read_text())
        file["added_tokens"] = [t for t in file["added_tokens"] if not (t["lstrip"] or t["rstrip"] or t["single_word"])]
        for t in file["added_tokens"]:  # the tests' words would hide what the pre-tokenizer does
            if t["content"] == "Plain":
                t["normalized"] = False
        known = {t["content"] for t in file["added_tokens"]}
        file["added_tokens"] += [token(c, 0, **flags) for c, flags in [*marks, ("<|begin|>", {})] if c not in known]
        for i, t in enumerate(file["added_tokens"]):
            t["id"] = len(file["model"]["vocab"]) + i
        file["model"]["ignore_merges"] = kind == "llama3"
        config |= {"bos_token": "<|begin|>"}
        if kind.startswith("llama3"):
            chat = WITH_BOS
    if kind != "sentencepiece":
        (out / "tokenizer.json").write_text(json.dumps(file))
        n = max(list(file["model"]["vocab"].values()) + [t["id"] for t in file["added_tokens"]]) + 1
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (out / "chat_template.jinja").write_text(chat)
    # Before which SentencePiece would put a space, though llama.cpp, told to put none, doesn't.
    start = "<|im_start|>" if kind == "sentencepiece" else ""
    texts = [start + text for text in TEXTS + random_texts(len(kind), N_RANDOM)] + ["<|im_start|>user\nthe order<|im_end|>\n", "<|im_start|> a  <tool_call> b<|im_end|><|im_end|>"]
    if kind == "phi3":
        texts += ["<|user|>\n\n the order<|end|>  \n<|assistant|>", "<s>\nhi</s>\n you"]
    (out / "texts.json").write_text(json.dumps({"texts": texts, "prompts": PROMPTS}))
    return n


def make_whole(directory):
    """Without adapters: the bundled base model, which was trained; tokenizers of real models, where they are, on a tiny one."""
    import shutil

    import torch
    import transformers
    out = directory / "quickstart"
    shutil.copytree(HERE.parents[1] / "pipelines" / "quickstart" / "base-model", out)
    texts = ["<|im_start|>" + text for text in TEXTS + random_texts(0, N_RANDOM)]
    (out / "texts.json").write_text(json.dumps({"texts": texts, "prompts": PROMPTS, "answers": True}))
    outside = HERE.parents[2] / "shared" / "data" / "tokenizers"
    for name in ("llama-2", "phi-2"):
        if not (outside / name).exists():
            print(f"skipped: {outside / name} is absent")
            continue
        out = directory / name
        out.mkdir()
        file = json.loads((outside / name / "tokenizer.json").read_text())
        # The copy of llama-2 has three merges with more spaces than one, which no library reads.
        file["model"]["merges"] = [m for m in file["model"]["merges"] if m.count(" ") == 1]
        if name == "llama-2":  # looked for as they are, as in later copies: else a tokenizer that isn't exported
            for t in file["added_tokens"]:
                t["normalized"] = False
        (out / "tokenizer.json").write_text(json.dumps(file))
        eos = "</s>" if name == "llama-2" else "<|endoftext|>"
        (out / "tokenizer_config.json").write_text(json.dumps({"eos_token": eos}))
        (out / "chat_template.jinja").write_text("{%- for m in messages -%}{{- m.role + ': ' + m.content + eos_token -}}{%- endfor -%}"
                                                 "{%- if add_generation_prompt -%}{{- 'assistant: ' -}}{%- endif -%}")
        n = max(list(file["model"]["vocab"].values()) + [t["id"] for t in file["added_tokens"]]) + 1
        config = transformers.LlamaConfig(**SHAPE | dict(num_hidden_layers=1, vocab_size=n, tie_word_embeddings=True))
        torch.manual_seed(0)
        transformers.LlamaForCausalLM(config).save_pretrained(out)
        texts = TEXTS + random_texts(1, 5 * N_RANDOM) + ["a" + " " * k + "b" for k in range(40)] + ["\n" * k + "x\n" for k in range(12)]
        (out / "texts.json").write_text(json.dumps({"texts": texts, "prompts": PROMPTS}))


def make(directory, seed, rows):
    import families
    import torch

    def randomise(model, seed):
        """As families.py does it, with matrices small enough that rounding isn't amplified from layer to layer."""
        families_randomise(model, seed)
        squares = getattr(model.config, "mlp_hidden_act", "") == "relu2"  # they amplify twice as much
        with torch.no_grad():
            for p in model.parameters():
                if p.ndim == 2:
                    p.mul_(0.25 if squares else 0.5)
    families_randomise, families.randomise = families.randomise, randomise
    families.LENGTHS = [(5, 17), (1, 9), (11, 12), (4, 31)]
    for i, (row, (stands_for, kind, older, fields)) in enumerate(ROWS.items()):
        if rows and row not in rows:
            continue
        out = directory / row
        out.mkdir(parents=True, exist_ok=True)
        n = tokenizer(kind, out)
        families.SHAPE = SHAPE | dict(vocab_size=n + 5, bos_token_id=1, eos_token_id=2, pad_token_id=0)
        families.ROWS = {row: (stands_for, older, fields)}
        families.make_row(out, row, seed * SEED_STEP + i, False)
        config = json.loads((out / "config.json").read_text())
        for key in ("bos_token_id", "eos_token_id", "pad_token_id"):  # the tokenizer says them
            config.pop(key, None)
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if not rows:
        make_whole(directory)
    print(f"made {len(rows or ROWS)} models")


def quiet():
    import llama_cpp
    return llama_cpp.llama_log_callback(lambda level, text, data: None)


class LlamaCpp:
    """One loaded file; logits at every position."""
    log = None

    def __init__(self, path, n_ctx=256, lora=None):
        import llama_cpp
        self.api = llama_cpp
        LlamaCpp.log = LlamaCpp.log or quiet()
        llama_cpp.llama_log_set(LlamaCpp.log, None)
        self.llm = llama_cpp.Llama(str(path), n_ctx=n_ctx, n_batch=256, logits_all=True, n_threads=1, n_threads_batch=1, verbose=False,
                                   lora_path=None if lora is None else str(lora), type_k=0, type_v=0)

    def logits(self, ids):
        self.llm.reset()
        self.llm.eval([int(i) for i in ids])
        return self.llm.scores[:len(ids)].copy()

    def greedy(self, ids, n):
        out, ids = [], [int(i) for i in ids]
        self.llm.reset()
        self.llm.eval(ids)
        for _ in range(n):
            out.append(int(self.llm.scores[self.llm.n_tokens - 1].argmax()))
            self.llm.eval([out[-1]])
        return out

    def tokenize(self, text):
        return self.llm.tokenize(text.encode(), add_bos=False, special=True)

    def prompt(self, text):
        """As llama.cpp's server does it: its own BOS in place of one that the template wrote."""
        vocab = self.api.llama_model_get_vocab(self.llm._model.model)
        adds = self.api.llama_vocab_get_add_bos(vocab)
        bos = self.api.llama_vocab_get_text(vocab, self.api.llama_vocab_bos(vocab)).decode()
        if adds and text.startswith(bos):
            text = text[len(bos):]
        return self.llm.tokenize(text.encode(), add_bos=True, special=True)

    def ends(self, id):
        return self.api.llama_vocab_is_eog(self.api.llama_model_get_vocab(self.llm._model.model), id)


def deviation(mine, theirs):
    import numpy as np
    return float(np.abs(mine - theirs).max() / np.abs(theirs).max())


def same_bytes(directory):
    """Every tensor of every file against the gguf package's quantisation of the float32 file's."""
    import gguf
    whole = {t.name: t.data for t in gguf.GGUFReader(directory / "model.f32.gguf").tensors}
    good = True
    for kind in ("f16", "bf16", "q8_0", "q4_0"):
        tensors = gguf.GGUFReader(directory / f"model.{kind}.gguf").tensors
        good &= [t.name for t in tensors] == list(whole)
        for t in tensors:
            good &= gguf.quants.quantize(whole[t.name], t.tensor_type).tobytes() == t.data.tobytes()
    return bool(good)


def compare_tokens(directory, model, say):
    tokens = json.loads((directory / "tokens.json").read_text())
    texts = json.loads((directory / "texts.json").read_text())
    mine = dict(zip(texts["texts"], tokens["texts"]))
    wrong = [text for text, ids in mine.items() if model.tokenize(text) != ids]
    wrong_prompts = [p["text"] for p in tokens["prompts"] if model.prompt(p["text"]) != p["ids"]]
    say("tokens", not wrong and not wrong_prompts, not wrong and not wrong_prompts)
    if wrong or wrong_prompts:
        print(f"     {len(wrong)} of {len(mine)} texts, {len(wrong_prompts)} of {len(tokens['prompts'])} prompts {wrong_prompts[:1]}")
    for text in wrong[:3]:
        print(f"     {text!r}\n     ours   {mine[text]}\n     theirs {model.tokenize(text)}")
    ends = all(model.ends(id) for id in tokens["end_ids"])
    say("ends", ends, ends)
    answered = [p for p in tokens["prompts"] if "answer" in p]
    if answered:
        same = all(model.greedy(p["ids"], 16) == p["answer"] for p in answered)
        say("answers", same, same)


def compare_row(directory, row, say):
    from safetensors.numpy import load_file
    exact = same_bytes(directory)
    say("bytes", exact, exact)
    ours, ids = load_file(directory / "ours.safetensors"), load_file(directory / "expected.safetensors")
    fields = ROWS[row][3]
    long_only = fields.get("original_max_position_embeddings", 512) < 256 and "longrope" in json.dumps(fields)
    examples = []
    i = 0
    while f"ids.{i}" in ids:
        # llama.cpp chooses LongRoPE's factors by its own context, not by the sequence.
        if not long_only or len(ids[f"ids.{i}"]) > fields["original_max_position_embeddings"]:
            examples.append(i)
        i += 1
    f32_bound = F32_GELU_BOUND if fields["model_type"].startswith(("gemma", "phi")) and fields["model_type"] != "phi3" else F32_BOUND
    starts = [i for i in range(len(ours)) if f"start.{i}" in ours]
    for kind in ("f32", "f16", "bf16", "q8_0", "q4_0"):
        model = LlamaCpp(directory / f"model.{kind}.gguf")
        worst = max(deviation(model.logits(ids[f"ids.{i}"]), ours[f"logits.{i}"]) for i in examples)
        bound = {"f32": f32_bound, "f16": F16_BOUND}.get(kind)
        say(kind, worst, bound is None or worst <= bound)
        if kind == "f16":
            same = all(model.greedy(ours[f"start.{i}"], 16) == ours[f"greedy.{i}"].tolist() for i in starts)
            say("greedy", same, same)
            compare_tokens(directory, model, say)
    for kind in ("f32", "f16"):
        model = LlamaCpp(directory / f"model.{kind}.gguf", lora=directory / "adapter.gguf")
        worst = max(deviation(model.logits(ids[f"ids.{i}"]), ours[f"adapted_logits.{i}"]) for i in examples)
        say(f"adapter_{kind}", worst, worst <= (f32_bound if kind == "f32" else F16_BOUND))
        if kind == "f16":
            same = all(model.greedy(ours[f"adapted_start.{i}"], 16) == ours[f"adapted_greedy.{i}"].tolist() for i in starts)
            say("adapter_greedy", same, same)


def compare(directory, file):
    good = True
    with open(file, "w") as out:
        for path in sorted(directory.iterdir()):
            row = path.name

            def say(what, value, fine):
                nonlocal good
                good &= fine
                shown = value if isinstance(value, bool) else f"{value:.1e}"
                if not fine or what in ("f16", "adapter_f16") or row not in ROWS:
                    print(f"{'ok  ' if fine else 'FAIL'} {row}, {what}: {shown}", flush=True)
                out.write(json.dumps({"row": row, what: value}) + "\n")
            if row in ROWS:
                compare_row(path, row, say)
            else:
                compare_tokens(path, LlamaCpp(path / "model.f16.gguf"), say)
    return good


def reference(file):
    import gguf
    import numpy as np
    random = np.random.default_rng(5)
    values = random.standard_normal((12, 32)).astype(np.float32)
    values[1] *= 1e-3
    values[2] *= 300
    values[3] = 0
    values[4] = np.linspace(-1, 1, 32)  # halves between levels
    values[5] = np.round(values[5] * 4) / 8
    values[6] = -np.abs(values[6])
    values[7] = np.repeat(np.float32([1, -1]), 16)  # the first of the largest decides the sign
    values[8, :16] = 2.0 ** -np.arange(8, 24)
    values[9] = np.ldexp(values[9], random.integers(-20, 4, 32)).astype(np.float32)
    values[10] = values[10].astype(np.float16).astype(np.float32) + np.float32(2 ** -12)
    values[11, :8] = [0.0, -0.0, 1e-7, -1e-7, 6.1e-5, 5.9e-8, 2.9e-8, 65504]
    writer = gguf.GGUFWriter(file, "llama")
    for kind, value in (("uint8", 200), ("int8", -100), ("uint16", 60000), ("int16", -30000), ("uint32", 4000000000), ("int32", -2000000000),
                        ("float32", 1.5), ("uint64", 1 << 40), ("int64", -(1 << 40)), ("float64", -2.25), ("bool", True), ("string", "Grüße")):
        getattr(writer, f"add_{kind}")(f"a.{kind}", value)
    writer.add_array("a.texts", ["x", "", "東京"])
    writer.add_array("a.numbers", [1, -2, 3])
    writer.add_array("a.reals", [0.5, -1.5])
    writer.add_array("a.truths", [True, False, True])
    writer.add_tensor("f32", values)
    for kind in ("F16", "BF16", "Q8_0", "Q4_0"):
        type = gguf.GGMLQuantizationType[kind]
        data = gguf.quants.quantize(values, type)
        writer.add_tensor(kind.lower(), data, raw_dtype=type)
        back = gguf.quants.dequantize(data, type)
        writer.add_tensor(kind.lower() + ".back", back.astype(np.float32))
    writer.add_tensor("vector", np.float32([1, 2, 3]))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def table(file):
    rows = {}
    for line in pathlib.Path(file).read_text().splitlines():
        entry = json.loads(line)
        rows.setdefault(entry.pop("row"), {}).update(entry)
    print("| family (`model_type`) | stands for | f32 | f16 | adapter on f16 | bf16 | q8_0 | q4_0 | greedy ids | token ids |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, (stands_for, kind, _, fields) in ROWS.items():
        r = rows[name]
        cells = [f"{r[k]:.0e}" for k in ("f32", "f16", "adapter_f16", "bf16", "q8_0", "q4_0")]
        cells += ["equal" if r["greedy"] and r["adapter_greedy"] else "differ", f"equal ({kind})" if r["tokens"] and r["ends"] else "differ"]
        print(f"| {name} (`{fields['model_type']}`) | {stands_for} | " + " | ".join(cells) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("make")
    sub.add_argument("directory", type=pathlib.Path)
    sub.add_argument("--seed", type=int, default=0)
    sub.add_argument("--rows", nargs="*", help="only these families")
    sub = commands.add_parser("compare")
    sub.add_argument("directory", type=pathlib.Path)
    sub.add_argument("file", type=pathlib.Path)
    sub = commands.add_parser("table")
    sub.add_argument("file", type=pathlib.Path)
    sub = commands.add_parser("reference")
    sub.add_argument("file", type=pathlib.Path)
    args = parser.parse_args()
    if args.command == "reference":
        reference(args.file)
    elif args.command == "make":
        make(args.directory, args.seed, args.rows)
    elif args.command == "compare":
        return 0 if compare(args.directory, args.file) else 1
    else:
        table(args.file)
    return 0


if __name__ == "__main__":
    sys.exit(main())

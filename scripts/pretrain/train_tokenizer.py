#!/usr/bin/env python3
"""Trains the SentencePiece tokenizer of the small base model and writes the files a Hugging Face folder has beside the weights.

A blank is a piece of its own, never glued to a word: a name then splits into the same pieces after a blank, a quote or a bracket, so copying it is
copying pieces. That is what so small a model can learn. Digits are single; the frequent joints of JSON are single pieces.
"""

import argparse
import json
import os
import subprocess
import tempfile

CHAT = ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
JOINTS = [" ", ", ", ". ", ": ", "? ", '{"', '": "', '": ', '", "', '"}', '"}}', '": {"']


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--text", required=True, help="plain text, as make_corpus.py --plain writes it")
    p.add_argument("--out", required=True, help="folder of the base model")
    p.add_argument("--vocab-size", type=int, default=3072)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    with tempfile.TemporaryDirectory() as tmp:
        symbols = os.path.join(tmp, "symbols.txt")
        os.symlink(os.path.abspath(a.text), os.path.join(tmp, "corpus.txt"))
        with open(symbols, "w", encoding="utf-8") as f:
            f.write("\n".join(CHAT + [j.replace(" ", "\u2581") for j in JOINTS]) + "\n")
        subprocess.run(
            [
                "spm_train",
                "--input=corpus.txt",
                "--model_prefix=m",
                "--model_type=bpe",
                "--vocab_size=%d" % a.vocab_size,
                "--byte_fallback=true",
                "--split_digits=true",
                "--add_dummy_prefix=false",
                "--remove_extra_whitespaces=false",
                "--normalization_rule_name=identity",
                "--character_coverage=1.0",
                "--user_defined_symbols_file=symbols.txt",
                "--unk_id=0",
                "--bos_id=1",
                "--eos_id=2",
                "--pad_id=3",
                "--num_threads=1",
                "--random_seed=1",
                "--input_sentence_size=0",
                "--minloglevel=1",
            ],
            check=True,
            cwd=tmp,
        )
        with open(os.path.join(tmp, "m.model"), "rb") as f:
            model = f.read()
        with open(os.path.join(tmp, "m.vocab"), encoding="utf-8") as f:
            pieces = [line.split("\t")[0] for line in f]
    with open(os.path.join(a.out, "tokenizer.model"), "wb") as f:
        f.write(model)
    ids = {s: pieces.index(s) for s in ["<unk>", "<s>", "</s>", "<pad>"] + CHAT}
    write(
        a.out,
        "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "add_bos_token": False,
            "add_eos_token": False,
            "add_prefix_space": False,
            "legacy": False,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 1024,
            "bos_token": "<s>",
            "eos_token": "<|im_end|>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "additional_special_tokens": CHAT[:2],
            "added_tokens_decoder": {
                str(i): {
                    "content": s,
                    "lstrip": False,
                    "normalized": False,
                    "rstrip": False,
                    "single_word": False,
                    "special": "tool_call" not in s,
                }
                for s, i in ids.items()
            },
        },
    )
    write(
        a.out,
        "special_tokens_map.json",
        {
            "bos_token": "<s>",
            "eos_token": "<|im_end|>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
            "additional_special_tokens": CHAT[:2],
        },
    )
    write(
        a.out,
        "config.json",
        {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": len(pieces),
            "hidden_size": 256,
            "num_hidden_layers": 6,
            "num_attention_heads": 4,
            "num_key_value_heads": 4,
            "head_dim": 64,
            "intermediate_size": 688,
            "hidden_act": "silu",
            "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-05,
            "rope_theta": 10000.0,
            "attention_bias": False,
            "mlp_bias": False,
            "attention_dropout": 0.0,
            "tie_word_embeddings": True,
            "initializer_range": 0.02,
            "bos_token_id": ids["<s>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<pad>"],
            "use_cache": True,
            "torch_dtype": "float32",
        },
    )
    write(
        a.out,
        "generation_config.json",
        {
            "bos_token_id": ids["<s>"],
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<pad>"],
            "do_sample": False,
        },
    )


def write(folder, name, obj):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
        json.dump(obj, f, indent=2, ensure_ascii=False)
        f.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Reference for the network: a tiny random Llama through transformers and peft.

  llama.py make DIR [--seed N]     writes DIR/{tied,untied}/: model, adapter, inputs, expected logits, losses, gradients,
                                   and parameters after AdamW steps
  llama.py logits PROGRAM DIR      runs PROGRAM models logits on DIR's models and compares
  llama.py adapter BASE ADAPTER EXPECTED
                                   loads a PEFT directory that slmconv wrote into peft and compares logits with EXPECTED,
                                   a safetensors file of "ids" and "logits"

Every norm is random (transformers makes them 1, which would hide a norm that isn't applied), key/value heads are fewer
than heads, and head_dim differs from width / heads.
"""
import argparse
import json
import pathlib
import subprocess
import sys

import peft
import torch
import transformers
from safetensors.torch import load_file, save_file

LOGIT_TOLERANCE = 1e-4  # of the largest |logit|
GRADIENT_TOLERANCE = 1e-4  # of a tensor's norm
PROMPT_LENGTHS = [(5, 17), (1, 9), (11, 12), (4, 31)]  # (tokens of the prompt, of the whole example)
ADAMW = dict(lr=3e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.05)


def make_model(tied, seed, shape):
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        tie_word_embeddings=tied, attention_bias=False, rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2,
        rope_parameters={"rope_type": "default", "rope_theta": 5000.0}, **shape)
    model = transformers.LlamaForCausalLM(config).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "norm" in name:
                p.copy_(1 + 0.4 * torch.randn_like(p))
            else:
                p.copy_(torch.randn_like(p) * 0.2)
    return model


def examples(vocab, seed):
    g = torch.Generator().manual_seed(seed)
    return [(torch.randint(3, vocab, (whole,), generator=g), prompt) for prompt, whole in PROMPT_LENGTHS]


def completion_loss(model, batch):
    """Sum of the completion tokens' losses over their number: each example by itself, so that no padding is involved."""
    total, n = 0, 0
    for ids, n_prompt in batch:
        logits = model(ids[None]).logits[0].float()
        rows = range(max(1, n_prompt), len(ids))
        total = total + sum(torch.nn.functional.cross_entropy(logits[t - 1], ids[t]) for t in rows)
        n += len(rows)
    return total / n


def after_adamw(model, batch, n_steps):
    params = [p for p in model.parameters() if p.requires_grad]
    decay = [p for p in params if p.ndim > 1]
    rest = [p for p in params if p.ndim == 1]
    groups = [dict(params=decay), dict(params=rest, weight_decay=0.0)]
    optimiser = torch.optim.AdamW(groups, **ADAMW)
    for _ in range(n_steps):
        optimiser.zero_grad()
        completion_loss(model, batch).backward()
        torch.nn.utils.clip_grad_norm_(params, 0.5)
        optimiser.step()


def make(directory, seed):
    shapes = {
        "untied": dict(vocab_size=61, hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
                       num_key_value_heads=2, head_dim=8, max_position_embeddings=128),
        "tied": dict(vocab_size=53, hidden_size=42, intermediate_size=36, num_hidden_layers=2, num_attention_heads=3,
                     num_key_value_heads=1, head_dim=12, max_position_embeddings=128),
    }
    for name, shape in shapes.items():
        out = directory / name
        model = make_model(name == "tied", seed, shape)
        model.save_pretrained(out)
        batch = examples(shape["vocab_size"], seed + 1)
        expected = {}
        for i, (ids, n_prompt) in enumerate(batch):
            expected[f"ids.{i}"] = ids.int()
            expected[f"n_prompt.{i}"] = torch.tensor([n_prompt], dtype=torch.int32)
            with torch.no_grad():
                expected[f"logits.{i}"] = model(ids[None]).logits[0].contiguous()
        loss = completion_loss(model, batch)
        loss.backward()
        expected["loss"] = loss.detach().reshape(1)
        for n, p in model.named_parameters():
            expected[f"grad.{n}"] = p.grad.clone()
        model.zero_grad()

        targets = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        if name == "tied":
            targets = ["q_proj", "v_proj", "up_proj"]  # some linears of a fused group without an adapter
        lora = peft.LoraConfig(r=3, lora_alpha=5, target_modules=targets, task_type="CAUSAL_LM", lora_dropout=0.0,
                               use_rslora=name == "tied")
        adapted = peft.get_peft_model(model, lora)
        with torch.no_grad():
            for n, p in adapted.named_parameters():
                if "lora_" in n:
                    p.copy_(torch.randn_like(p) * 0.3)
        adapted.save_pretrained(out / "adapter")
        (out / "adapter" / "README.md").unlink(missing_ok=True)
        for i, (ids, _) in enumerate(batch):
            with torch.no_grad():
                expected[f"adapted_logits.{i}"] = adapted(ids[None]).logits[0].contiguous()
        loss = completion_loss(adapted, batch)
        loss.backward()
        expected["adapted_loss"] = loss.detach().reshape(1)
        plain = lambda n: n.removeprefix("base_model.model.").replace(".default", "")
        for n, p in adapted.named_parameters():
            if p.requires_grad:
                expected[f"adapted_grad.{plain(n)}"] = p.grad.clone()
        after_adamw(adapted, batch, 2)
        for n, p in adapted.named_parameters():
            if p.requires_grad:
                expected[f"after_two_steps.{plain(n)}"] = p.detach().clone()
        save_file(expected, out / "expected.safetensors")
        config = json.loads((out / "config.json").read_text())
        (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    print(f"made {directory} with torch {torch.__version__}, transformers {transformers.__version__}, peft {peft.__version__}")


def compare(what, ours, theirs, tolerance):
    difference = (ours - theirs).abs().max().item() / theirs.abs().max().item()
    print(f"{'ok  ' if difference <= tolerance else 'FAIL'} {what}: max|Δ|/max|logit| {difference:.2e}, bound {tolerance:.0e}")
    return difference <= tolerance


def program_logits(program, directory, ids, *more):
    command = [program, "models", "logits", str(directory), "--ids", ",".join(map(str, ids)), "--dtype", "float32", "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return torch.tensor(next(r["logits"] for r in rows if "logits" in r))


def check_logits(program, directory):
    good = True
    for sub in sorted(p for p in directory.iterdir() if (p / "expected.safetensors").exists()):
        expected = load_file(sub / "expected.safetensors")
        for i in range(len(PROMPT_LENGTHS)):
            ids = expected[f"ids.{i}"].tolist()
            good &= compare(f"{sub.name} {i}", program_logits(program, sub, ids), expected[f"logits.{i}"], LOGIT_TOLERANCE)
            ours = program_logits(program, sub, ids, "--adapter", str(sub / "adapter"))
            good &= compare(f"{sub.name} {i} with adapter", ours, expected[f"adapted_logits.{i}"], LOGIT_TOLERANCE)
    return good


def check_adapter(base, adapter, expected):
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = peft.PeftModel.from_pretrained(model, adapter).eval()
    ours = load_file(expected)
    with torch.no_grad():
        theirs = model(ours["ids"].long()[None]).logits[0]
    return compare(f"{adapter} in peft", ours["logits"], theirs, LOGIT_TOLERANCE)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    sub = commands.add_parser("make")
    sub.add_argument("directory", type=pathlib.Path)
    sub.add_argument("--seed", type=int, default=0)
    sub = commands.add_parser("logits")
    sub.add_argument("program")
    sub.add_argument("directory", type=pathlib.Path)
    sub = commands.add_parser("adapter")
    for name in ("base", "adapter", "expected"):
        sub.add_argument(name)
    args = parser.parse_args()
    if args.command == "make":
        make(args.directory, args.seed)
        return 0
    good = check_logits(args.program, args.directory) if args.command == "logits" else check_adapter(args.base, args.adapter, args.expected)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())

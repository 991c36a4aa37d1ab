#!/usr/bin/env python3
"""A LoRA step of slmconv beside one of transformers + peft: same machine, libtorch, weights, loss positions, one run.

The model has SmolLM2-135M's shape and random weights; LoRA of rank 16 on all seven linears, AdamW. Works:
  prompt    8 calls a step that share a prompt of 512 tokens, each with a completion of 64
  logs      tau-bench's airline sessions (../shared/data/agent-logs, skipped where absent), two whole ones a step; a call is
            an assistant's turn. Beside them as many calls a step drawn at random from all sessions, as finetune does with
            --shuffle-calls. Token ids are phi-2's, modulo the vocabulary.
Every figure comes from a process of its own, the sides by turns; the first step of each process isn't counted.

Use: scripts/bench/finetune/run.py [--runs 3] [--work prompt|logs]... [--device cpu|cuda] [--readme]
     PEER_PYTHON: a Python with torch, transformers, peft, tokenizers (default: the one that runs this).
     Needs build/release/tests/bench/train_steps: cmake --preset release -DSLM_BENCHMARKS=ON && scripts/build.sh release train_steps
"""
import argparse
import json
import pathlib
import random
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common import (DATA, FFN, HEAD_DIM, HEADS, KV, LAYERS, PEER, VOCAB, WIDTH, common_options, machine, make_model, measure,
                    peer_says, program, publish)

HERE = pathlib.Path(__file__).resolve().parent
RANK = 16
PRODUCTS_SIDE = "matrix products"
SETTINGS = {"rank": RANK, "alpha": 32, "rate": 2e-4}
VERSIONS = ("import torch, transformers, peft; print(f'torch {torch.__version__}, transformers {transformers.__version__}, "
            "peft {peft.__version__}')")
PRODUCTS = """
import json, sys, time, torch
torch.set_num_threads(int(sys.argv[1])); device = sys.argv[2]
a, b = (torch.randn(2048, 2048, device=device, dtype=torch.bfloat16) for _ in range(2))
seconds = []
for _ in range(25):
    begun = time.perf_counter(); a @ b
    if device == 'cuda': torch.cuda.synchronize()
    seconds.append(time.perf_counter() - begun)
print(json.dumps({'seconds': [sorted(seconds)[len(seconds) // 2]]}))
"""
TOKENIZE = """
import json, sys
from tokenizers import Tokenizer
t = Tokenizer.from_file(sys.argv[1])
print(json.dumps([[t.encode(part, add_special_tokens=False).ids for part in parts] for parts in json.load(sys.stdin)]))
"""


def prompt_work(n_steps):
    rng = random.Random(1)
    steps = []
    for _ in range(n_steps):
        prompt = [rng.randrange(VOCAB) for _ in range(512)]
        calls = [{"ids": prompt + [rng.randrange(VOCAB) for _ in range(64)], "n_prompt": 512} for _ in range(8)]
        steps.append({"calls": calls, "rows": call_rows(calls)})
    return steps


def call_rows(calls):
    return [{"ids": call["ids"], "trained": [int(i >= call["n_prompt"]) for i in range(len(call["ids"]))]} for call in calls]


def log_conversations(encode=TOKENIZE, tokenizer=DATA / "tokenizers/phi-2/tokenizer.json"):
    """tau-bench's sessions: {"calls": an assistant's turn each, "row": the whole conversation}."""
    with open(DATA / "agent-logs/tau-bench-airline-gpt4o.json", encoding="utf-8") as file:
        sessions = json.load(file)
    texts = []
    for session in sessions:
        parts = []
        for message in session["traj"]:
            text = message.get("content") or ""
            if message.get("tool_calls"):
                text += json.dumps([call["function"] for call in message["tool_calls"]])
            parts += [f"<|im_start|>{message['role']}\n", f"{text}<|im_end|>\n"]
        texts.append(parts)
    told = peer_says(encode, tokenizer, text=json.dumps(texts))
    out = []
    for session, parts in zip(sessions, json.loads(told)):
        ids, trained, calls = [], [], []
        for message, head, body in zip(session["traj"], parts[::2], parts[1::2]):
            answer = message["role"] == "assistant"
            ids, trained = ids + head, trained + [0] * len(head)
            if answer:
                calls.append({"ids": [i % VOCAB for i in ids + body], "n_prompt": len(ids)})
            ids, trained = ids + body, trained + [int(answer)] * len(body)
        out.append({"calls": calls, "row": {"ids": [i % VOCAB for i in ids], "trained": trained}})
    return out


def log_work(n_steps):
    """Steps of two sessions: (a row a call, a row a conversation), and as many calls at random. The first step's sessions are
    the shortest."""
    order = sorted(log_conversations(), key=lambda c: len(c["row"]["ids"]))
    rest = order[2:]
    random.Random(7).shuffle(rest)
    groups = [order[:2]] + [rest[2 * i:2 * i + 2] for i in range(n_steps - 1)]
    by_call, by_conversation = [], []
    for group in groups:
        calls = [call for conversation in group for call in conversation["calls"]]
        by_call.append({"calls": calls, "rows": call_rows(calls)})
        by_conversation.append({"calls": calls, "rows": [conversation["row"] for conversation in group]})
    all_calls = [call for conversation in order for call in conversation["calls"]]
    at_random = [{"calls": random.Random(step).sample(all_calls, len(by_call[step]["calls"]))} for step in range(n_steps)]
    return by_call, by_conversation, at_random


def flops(result, step):
    """Of one step: linears, LoRA, attention, head, forward and backward, nothing twice."""
    linear = LAYERS * (WIDTH * (HEADS + 2 * KV) * HEAD_DIM + HEADS * HEAD_DIM * WIDTH + 3 * WIDTH * FFN)
    q, kv = HEADS * HEAD_DIM, KV * HEAD_DIM
    adapters = LAYERS * RANK * (2 * (WIDTH + q) + 2 * (WIDTH + kv) + 3 * (WIDTH + FFN))
    return (result["computed"][step] * (4 * linear + 6 * adapters) + 12 * result["pairs"][step] * q * LAYERS +
            4 * result["predicted"][step] * VOCAB * WIDTH)


def call_tokens(steps):
    return [sum(len(call["ids"]) for call in step["calls"]) for step in steps]


def table(title, results, n_tokens, reference):
    """Tokens a second by the calls' tokens, so that a row a conversation counts what it stands for. n_tokens: of each step, of
    each row by name. The matrix rate is that of the same run, since it moves by a fifth between runs."""
    gemm = [2 * 2048 ** 3 / run["seconds"][0] for run in results.pop(PRODUCTS_SIDE)]
    lines = [f"{title}", "", "| | tokens/s | spread | times | peak memory | loss |", "| --- | ---: | ---: | ---: | ---: | ---: |"]
    rates = {}
    for name, runs in results.items():
        rates[name] = [n_tokens[name][step] / run["seconds"][step] for run in runs for step in range(1, len(run["seconds"]))]
    base = statistics.median(rates[reference])
    for name, runs in results.items():
        rate = statistics.median(rates[name])
        peak = statistics.median(run["peak_bytes"] for run in runs) / 1e9
        lines.append(f"| {name} | {rate:,.0f} | {min(rates[name]):,.0f}–{max(rates[name]):,.0f} | {rate / base:.2f}× | "
                     f"{peak:.1f} GB | {runs[0]['losses'][-1]:.4f} |")
    notes = []
    for name, runs in results.items():
        if "computed" in runs[0]:
            shares = [flops(run, step) / run["seconds"][step] / rate for run, rate in zip(runs, gemm)
                      for step in range(1, len(run["seconds"]))]
            notes.append(f"{name}: {sum(n_tokens[name][1:]) / sum(runs[0]['computed'][1:]):.2f} tokens for one computed, "
                         f"{statistics.median(shares):.0%} of the machine's matrix rate")
    notes.append("Matrix rate: bfloat16 products at " + ", ".join(f"{rate / 1e9:,.0f}" for rate in gemm) + " GFLOP/s, a figure a run.")
    return lines + [""] + notes + [""]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--work", action="append", choices=["prompt", "logs"])
    common_options(parser)
    args = parser.parse_args()
    works = args.work or ["prompt", "logs"]
    with tempfile.TemporaryDirectory() as temporary:
        model = make_model(pathlib.Path(temporary) / "model")
        head = [f"{machine(args, VERSIONS)}.", ""]
        products = [PEER, "-c", PRODUCTS, args.threads, args.device]

        def written(name, steps, peer_rows):
            path = pathlib.Path(temporary) / f"{name}.json"
            path.write_text(json.dumps({**SETTINGS, "threads": args.threads, "peer_rows": peer_rows, "steps": steps}))
            return path

        def peer(path, row):
            return [PEER, HERE / "peer.py", model, path, "--row", row, "--device", args.device]

        def ours(path, how):
            return [program("train_steps"), model, path, how, "bfloat16", args.device]

        if "prompt" in works:
            steps = prompt_work(args.steps)
            path = written("prompt", steps, 8)
            results = measure({"transformers + peft, default": peer(path, "default"),
                               "… autocast": peer(path, "autocast"),
                               "… `logits_to_keep`": peer(path, "keep"),
                               "… autocast, `logits_to_keep`": peer(path, "autocast-keep"),
                               "slmconv, nothing shared": ours(path, "alone"),
                               PRODUCTS_SIDE: products,
                               "slmconv": ours(path, "shared")}, args.runs)
            told = table("**8 calls, a prompt of 512 tokens in common, completions of 64**", results,
                         dict.fromkeys(results, call_tokens(steps)), "transformers + peft, default")
            publish(head + told, "bench-finetune-prompt", args.readme)
        if "logs" in works:
            if (DATA / "agent-logs").is_dir():
                by_call, by_conversation, at_random = log_work(args.steps)
                calls, conversations = written("calls", by_call, 1), written("conversations", by_conversation, 1)
                results = measure({"transformers + peft, a row a call, autocast, `logits_to_keep`": peer(calls, "autocast-keep"),
                                   "… a row a conversation, default": peer(conversations, "default"),
                                   "… a row a conversation, autocast, `logits_to_keep`": peer(conversations, "autocast-keep"),
                                   PRODUCTS_SIDE: products,
                                   "slmconv": ours(calls, "shared"),
                                   "slmconv, `--shuffle-calls`": ours(written("random", at_random, 1), "shared")}, args.runs)
                n_tokens = {**dict.fromkeys(results, call_tokens(by_call)), "slmconv, `--shuffle-calls`": call_tokens(at_random)}
                told = table("**Agent sessions (tau-bench airline), as many calls a step as two sessions have**", results, n_tokens,
                             "transformers + peft, a row a call, autocast, `logits_to_keep`")
                publish(head + told, "bench-finetune-logs", args.readme)
            else:
                print(f"skipped logs: {DATA} isn't there", file=sys.stderr)


if __name__ == "__main__":
    main()

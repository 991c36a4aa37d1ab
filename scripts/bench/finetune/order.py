#!/usr/bin/env python3
"""Whole sessions a step beside calls drawn at random: the loss on held-out sessions after equally many calls.

The data are tau-bench's airline sessions (../shared/data/agent-logs), each call cut to its last 192 tokens and 64 of its
answer: what is compared is which calls stand in a step together, not how much they share.
  lora     the bundled base and its tokenizer, adapters as slmconv finetune makes them unless told otherwise
  full     all weights of the same base, at the rate of finetune --full
  scratch  all weights of a small random model at a high rate: the order's worst case

Use: scripts/bench/finetune/order.py [--model lora|full|scratch]... [--seeds 4] [--epochs 3] [--batch 16]...
     PEER_PYTHON (with sentencepiece) and train_steps: as run.py.
"""
import argparse
import json
import pathlib
import random
import statistics
import tempfile

from run import log_conversations
from common import ROOT, machine, measure, peer_says, program

N_PROMPT, N_ANSWER, HELD_OUT = 192, 64, 40
BASE = ROOT / "pipelines/quickstart/base-model"
SCRATCH_VOCAB = 4096
SCRATCH = f"""
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(vocab_size={SCRATCH_VOCAB}, hidden_size=192, intermediate_size=512, num_hidden_layers=4,
    num_attention_heads=6, num_key_value_heads=6, max_position_embeddings=512, tie_word_embeddings=True)).save_pretrained(sys.argv[1])
"""
SENTENCEPIECE = """
import json, sys, sentencepiece
p = sentencepiece.SentencePieceProcessor(model_file=sys.argv[1])
print(json.dumps([[p.encode(part) for part in parts] for parts in json.load(sys.stdin)]))
"""
SETTINGS = {"lora": {"rank": 8, "alpha": 16, "rate": 2e-4}, "full": {"rank": 0, "alpha": 1, "rate": 2e-5}, "scratch": {"rank": 0, "alpha": 1, "rate": 1e-3}}


def cut(call, vocab):
    prompt, answer = call["ids"][:call["n_prompt"]][-N_PROMPT:], call["ids"][call["n_prompt"]:][:N_ANSWER]
    return {"ids": [i % vocab for i in prompt + answer], "n_prompt": len(prompt)}


def model_and_sessions(name, temporary):
    if name != "scratch":
        model, vocab = BASE, json.loads((BASE / "config.json").read_text())["vocab_size"]
        conversations = log_conversations(SENTENCEPIECE, BASE / "tokenizer.model")
    else:
        model, vocab = temporary / "model", SCRATCH_VOCAB
        peer_says(SCRATCH, model)
        conversations = log_conversations()
    return model, [[cut(call, vocab) for call in conversation["calls"]] for conversation in conversations]


def by_session(sessions, batch, rng):
    steps = []
    for session in rng.sample(sessions, len(sessions)):
        for at in range(0, len(session), batch):
            piece = session[at:at + batch]
            if not steps or len(steps[-1]) + len(piece) > batch:
                steps.append([])
            steps[-1] += piece
    return steps


def at_random(sessions, batch, rng):
    calls = [call for session in sessions for call in session]
    rng.shuffle(calls)
    return [calls[at:at + batch] for at in range(0, len(calls), batch)]


ORDERS = {"whole sessions": by_session, "calls at random": at_random}


def compare(name, batch, args, temporary):
    """{order: [held-out loss of each seed]}, the loss before training."""
    model, sessions = model_and_sessions(name, temporary)
    random.Random(3).shuffle(sessions)
    held_out, sessions = [call for session in sessions[:HELD_OUT] for call in session], sessions[HELD_OUT:]
    work = temporary / "work.json"

    def trained(label, settings, steps):
        work.write_text(json.dumps({"threads": args.threads, "cosine": True, **settings, "steps": [{"calls": s} for s in steps],
                                    "held_out": held_out}))
        results = measure({label: [program("train_steps"), model, work, "shared", "bfloat16"]}, 1, say_seconds=False)
        return results[label][0]["held_out"]

    before = trained(f"{name}, not trained", {**SETTINGS[name], "rate": 0}, at_random(sessions, batch, random.Random(0))[:1])
    losses = {order: [] for order in ORDERS}
    for seed in range(args.seeds):
        for order, steps_of in ORDERS.items():
            rng = random.Random(seed)
            steps = [step for _ in range(args.epochs) for step in steps_of(sessions, batch, rng)]
            losses[order].append(trained(f"{name}, {order}, seed {seed}, {len(steps)} steps", SETTINGS[name], steps))
            print(f"{losses[order][-1]:.4f}", flush=True)
    return losses, before


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", choices=list(SETTINGS))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.device, args.runs = "cpu", args.seeds
    for name in args.model or list(SETTINGS):
        for batch in args.batch or [16]:
            with tempfile.TemporaryDirectory() as temporary:
                losses, before = compare(name, batch, args, pathlib.Path(temporary))
            print(f"{name}, {batch} calls a step, {args.epochs} epochs, {args.seeds} seeds; before training {before:.4f}; {machine(args)}")
            for order, values in losses.items():
                print(f"{order}: held-out loss {statistics.mean(values):.4f}, seeds {min(values):.4f} to {max(values):.4f}, "
                      f"deviation {statistics.stdev(values):.4f}")


if __name__ == "__main__":
    main()

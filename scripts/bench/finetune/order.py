#!/usr/bin/env python3
"""Whole sessions a step beside calls drawn at random: the loss on held-out sessions after equally many calls.

All weights of a small random model are trained on tau-bench's airline sessions (../shared/data/agent-logs), each call cut to
its last 192 tokens and 64 of its answer: what is compared is which calls stand in a step together, not how much they share.

Use: scripts/bench/finetune/order.py [--seeds 4] [--epochs 2] [--batch 16]
     PEER_PYTHON and train_steps: as run.py.
"""
import argparse
import json
import pathlib
import random
import statistics
import tempfile

from run import log_calls  # the sessions as calls of token ids
from common import machine, measure, peer_says, program

N_PROMPT, N_ANSWER, VOCAB, HELD_OUT = 192, 64, 4096, 40
MODEL = f"""
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(vocab_size={VOCAB}, hidden_size=192, intermediate_size=512, num_hidden_layers=4, num_attention_heads=6,
    num_key_value_heads=6, max_position_embeddings=512, tie_word_embeddings=True)).save_pretrained(sys.argv[1])
"""


def cut(call):
    prompt, answer = call["ids"][:call["n_prompt"]][-N_PROMPT:], call["ids"][call["n_prompt"]:][:N_ANSWER]
    return {"ids": [i % VOCAB for i in prompt + answer], "n_prompt": len(prompt)}


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    args.device, args.runs = "cpu", args.seeds
    sessions = [[cut(call) for call in session] for session in log_calls()]
    random.Random(3).shuffle(sessions)
    held_out, sessions = [call for session in sessions[:HELD_OUT] for call in session], sessions[HELD_OUT:]
    losses = {}
    with tempfile.TemporaryDirectory() as temporary:
        model = pathlib.Path(temporary) / "model"
        peer_says(MODEL, model)
        for name, order in (("whole sessions", by_session), ("calls at random", at_random)):
            for seed in range(args.seeds):
                rng = random.Random(seed)
                steps = [{"calls": step} for _ in range(args.epochs) for step in order(sessions, args.batch, rng)]
                work = pathlib.Path(temporary) / "work.json"
                work.write_text(json.dumps({"threads": args.threads, "rank": 0, "alpha": 1, "rate": 1e-3, "cosine": True, "steps": steps,
                                            "held_out": held_out}))
                result = measure({f"{name}, seed {seed}, {len(steps)} steps": [program("train_steps"), model, work, "shared", "bfloat16"]}, 1,
                                 say_seconds=False)
                losses.setdefault(name, []).append(next(iter(result.values()))[0]["held_out"])
    print(machine(args))
    for name, values in losses.items():
        print(f"{name}: held-out loss {statistics.mean(values):.4f}, seeds {min(values):.4f} to {max(values):.4f}, "
              f"deviation {statistics.stdev(values):.4f}")


if __name__ == "__main__":
    main()

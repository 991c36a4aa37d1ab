#!/usr/bin/env python3
"""Greedy answers of slmconv beside transformers' generate: same machine, libtorch, weights, prompts, one run.

The model has SmolLM2-135M's shape and random weights; 8 prompts a round share 512 tokens and have 16 to 48 of their own;
64 new tokens each. In float32 both sides must give the same ids. Every figure comes from a process of its own, the sides by
turns; the first round of each process isn't counted.

Use: scripts/bench/generate/run.py [--runs 3] [--rounds 4] [--device cpu|cuda] [--readme]
     PEER_PYTHON: a Python with torch and transformers (default: the one that runs this).
     Needs build/release/tests/bench/generate_steps: cmake --preset release -DSLM_BENCHMARKS=ON && scripts/build.sh release generate_steps
"""
import argparse
import json
import pathlib
import random
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common import PEER, VOCAB, common_options, machine, make_model, measure, program, publish

HERE = pathlib.Path(__file__).resolve().parent
N_NEW, N_PROMPTS = 64, 8


def rounds(n):
    rng = random.Random(1)
    out = []
    for _ in range(n):
        shared = [rng.randrange(VOCAB) for _ in range(512)]
        out.append([shared + [rng.randrange(VOCAB) for _ in range(rng.randrange(16, 49))] for _ in range(N_PROMPTS)])
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=4)
    common_options(parser)
    args = parser.parse_args()
    out = [f"{machine(args)}.", "", "| | new tokens/s | spread | times | peak memory |", "| --- | ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory() as temporary:
        model = make_model(pathlib.Path(temporary) / "model")
        work = pathlib.Path(temporary) / "work.json"
        work.write_text(json.dumps({"threads": args.threads, "n_new": N_NEW, "rounds": rounds(args.rounds)}))
        for dtype in ("bfloat16", "float32"):
            theirs, ours = f"transformers, {dtype}", f"slmconv, {dtype}"
            results = measure({theirs: [PEER, HERE / "peer.py", model, work, "--dtype", dtype, "--device", args.device],
                               ours: [program("generate_steps"), model, work, dtype, args.device]}, args.runs)
            if dtype == "float32" and results[theirs][0]["last"] != results[ours][0]["last"]:
                sys.exit("in float32 the two sides' ids differ")
            rates = {name: [N_PROMPTS * N_NEW / s for run in runs for s in run["seconds"][1:]] for name, runs in results.items()}
            for name, runs in results.items():
                rate = statistics.median(rates[name])
                peak = statistics.median(run["peak_bytes"] for run in runs) / 1e9
                out.append(f"| {name} | {rate:,.0f} | {min(rates[name]):,.0f}–{max(rates[name]):,.0f} | "
                           f"{rate / statistics.median(rates[theirs]):.2f}× | {peak:.1f} GB |")
    publish(out + [""], "bench-generate", args.readme)


if __name__ == "__main__":
    main()

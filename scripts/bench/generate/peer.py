#!/usr/bin/env python3
"""transformers' generate on a work file, for run.py: prints one JSON line.

Use: peer.py MODEL WORK [--dtype bfloat16|float32] [--device cpu]
"""
import argparse
import json
import resource
import time

import torch
from transformers import AutoModelForCausalLM


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("work")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with open(args.work, encoding="utf-8") as file:
        work = json.load(file)
    if args.device == "cpu":
        torch.set_num_threads(work["threads"])
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=getattr(torch, args.dtype)).to(args.device).eval()
    seconds = []
    for prompts in work["rounds"]:
        length = max(map(len, prompts))
        ids = torch.tensor([[0] * (length - len(p)) + p for p in prompts], device=args.device)
        mask = torch.tensor([[0] * (length - len(p)) + [1] * len(p) for p in prompts], device=args.device)
        begun = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, min_new_tokens=work["n_new"],
                                 max_new_tokens=work["n_new"], pad_token_id=0, eos_token_id=None)
        seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else resource.getrusage(
        resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "last": out[:, length:].tolist(), "peak_bytes": peak}))


if __name__ == "__main__":
    main()

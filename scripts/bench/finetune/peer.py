#!/usr/bin/env python3
"""One training of transformers + peft on a work file, for run.py: prints one JSON line.

Use: peer.py MODEL WORK --row NAME [--steps N] [--warm N] [--device cpu]
Rows: default (bfloat16 weights, peft's float32 adapters), autocast, keep (default, logits of the completions only),
autocast-keep, float32. Batches are as `work` says: a list of steps, each a list of rows of ids and label masks.
"""
import argparse
import json
import resource
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

SITES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def padded(rows):
    """[B, T] ids, labels (-100 on prompt and padding) and attention mask."""
    length = max(len(row["ids"]) for row in rows)
    ids, labels, mask = [], [], []
    for row in rows:
        pad = length - len(row["ids"])
        ids.append(row["ids"] + [0] * pad)
        labels.append([token if trained else -100 for token, trained in zip(row["ids"], row["trained"])] + [-100] * pad)
        mask.append([1] * len(row["ids"]) + [0] * pad)
    return torch.tensor(ids), torch.tensor(labels), torch.tensor(mask)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("work")
    parser.add_argument("--row", default="default")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    with open(args.work, encoding="utf-8") as file:
        work = json.load(file)
    torch.manual_seed(1)
    if args.device == "cpu":
        torch.set_num_threads(work["threads"])
    dtype = torch.float32 if args.row == "float32" else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=dtype, attn_implementation="sdpa").to(args.device)
    model = get_peft_model(model, LoraConfig(r=work["rank"], lora_alpha=work["alpha"], target_modules=SITES,
                                             task_type="CAUSAL_LM"))
    model.train()
    trained = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=work["rate"], weight_decay=0.0)
    keep, autocast = args.row.endswith("keep"), args.row.startswith("autocast")
    seconds, losses, n_tokens = [], [], []
    for step in (step["rows"] for step in work["steps"]):
        # `micro` rows at once: the peer's gradient accumulation.
        begun = time.perf_counter()
        total = sum(sum(row["trained"]) for row in step)
        loss_sum = 0.0
        for at in range(0, len(step), work["peer_rows"]):
            ids, labels, mask = (t.to(args.device) for t in padded(step[at:at + work["peer_rows"]]))
            extra = {}
            if keep:  # from the position before the first label on
                first = int((labels != -100).any(0).nonzero()[0])
                extra["logits_to_keep"] = ids.shape[1] - first + 1
            with torch.autocast(args.device, torch.bfloat16, enabled=autocast):
                if keep:
                    logits = model(input_ids=ids, attention_mask=mask, use_cache=False, **extra).logits
                    targets = labels[:, -extra["logits_to_keep"]:]
                    loss = torch.nn.functional.cross_entropy(
                        logits[:, :-1].float().flatten(0, 1), targets[:, 1:].flatten(), ignore_index=-100, reduction="sum")
                    loss = loss / total
                else:
                    loss = model(input_ids=ids, attention_mask=mask, labels=labels, use_cache=False,
                                 num_items_in_batch=total).loss
            loss.backward()
            loss_sum += float(loss)
        optimiser.step()
        optimiser.zero_grad()
        if args.device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - begun)
        losses.append(loss_sum)
        n_tokens.append(sum(len(row["ids"]) for row in step))
    peak = torch.cuda.max_memory_allocated() if args.device == "cuda" else resource.getrusage(
        resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "losses": losses, "tokens": n_tokens, "peak_bytes": peak}))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writes the pre-training corpus of the small base model: JSON lines, unique, the same bytes for the same seed.

A line is {"prompt": ..., "completion": ...}, where only the completion is to be learned, or {"text": ...}, all of which is.
No text, label, field, tool or prompt of the quick-start sample is used here; scripts/sample makes those.
"""

import argparse
import hashlib
import json
import random
import sys

from fields import copying, fields
from labels import labels
from prose import prose
from rewrite import rewrite
from tools import tools

# share of the examples, maker
FAMILIES = [
    ("fields", 0.30, fields),
    ("copying", 0.08, copying),
    ("labels", 0.19, labels),
    ("tools", 0.21, tools),
    ("rewrite", 0.13, rewrite),
    ("prose", 0.09, prose),
]


def make(r):
    x = r.random()
    for name, share, maker in FAMILIES:
        x -= share
        if x < 0:
            return name, maker(r)
    return FAMILIES[0][0], FAMILIES[0][2](r)


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--examples", type=int, default=300000)
    p.add_argument("--out", required=True)
    p.add_argument("--plain", action="store_true", help="write bare text, one line a line, for training the tokenizer")
    p.add_argument("--exclude", action="append", default=[], help="a file of examples that must not come again")
    p.add_argument("--max-chars", type=int, default=900, help="longer examples are left out")
    a = p.parse_args()
    r = random.Random(a.seed)
    seen, counts = set(), {}
    for path in a.exclude:
        with open(path, encoding="utf-8") as f:
            seen.update(hashlib.md5(line.encode()).digest()[:8] for line in f)
    n = 0
    with open(a.out, "w", encoding="utf-8") as out:
        while n < a.examples:
            name, e = make(r)
            line = json.dumps(e, ensure_ascii=False) + "\n"
            key = hashlib.md5(line.encode()).digest()[:8]
            if key in seen or len(line) > a.max_chars:
                continue
            seen.add(key)
            if a.plain:
                text = e["text"] if "text" in e else e["prompt"] + e["completion"]
                for mark in ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"):
                    text = text.replace(mark, "\n")
                out.write("\n".join(t for t in text.split("\n") if t) + "\n")
            else:
                out.write(line)
            counts[name] = counts.get(name, 0) + 1
            n += 1
    print(json.dumps({"examples": n, "by_family": counts}), file=sys.stderr)


if __name__ == "__main__":
    main()

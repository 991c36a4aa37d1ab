#!/usr/bin/env python3
"""Checks what a quickstart run made: the aims of the sample, counts that add up, no planted text on the disk in clear.
Use: check_quickstart.py WORK RUN.jsonl"""
import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
work, run = pathlib.Path(sys.argv[1]), sys.argv[2]
problems = []


def check(condition, text):
    print(("ok    " if condition else "FAIL  ") + text)
    if not condition:
        problems.append(text)


last = json.loads(open(run).read().splitlines()[-1])
check(last["message_type"] == "summary" and last["exit_code"] == 0, "the run ends in a summary of exit code 0")
key = json.load(open(ROOT / "pipelines/quickstart/sample_key.json"))
steps = {s["command"]: s for s in last["steps"]}
check(steps["collect"]["n_in"] == key["calls"], f"collect saw all {key['calls']} calls")

tasks = json.load(open(work / "summary.json"))["tasks"]
for t in tasks:
    print("      ", {k: t[k] for k in ("task", "name", "kind", "n", "base", "tuned", "nearest", "majority", "bound", "verdict")})
measured = [t for t in tasks if t["tuned"] is not None]
replaced = [t for t in measured if t["verdict"] == "replace"]
check(len(replaced) >= 3, f"at least three tasks are replaced: {len(replaced)}")
check(all(t["tuned"] >= 0.90 for t in replaced), "each replaced task is tuned to 0.90 or more")
check(all(t["base"] <= t["tuned"] - 0.20 for t in replaced), "and its base is lower by 0.20 or more")
ahead = [t for t in measured if t["tuned"] >= max(t["majority"], t["nearest"]) + 0.10]
check(len(ahead) >= 2, f"at least two tasks are ahead of majority and nearest answer by 0.10: {len(ahead)}")
check(any(t["verdict"] == "keep" for t in tasks), "the hard task is kept")
check(any(t["verdict"] == "not_measurable" and t["tuned"] is None for t in tasks), "the open-ended task is not measurable")
check(all(t["n"] >= 350 for t in measured), "each measured task has 350 held-out sessions or more")

# Planted values that are long enough to be no accident, in any file of the store or beside it.
values = set()
for line in open(ROOT / "pipelines/quickstart/pii_key.jsonl"):
    row = json.loads(line)
    if row["type"] != "decoy" and len(row["value"]) >= 12:
        values.add(row["value"].encode())
found = 0
for path in work.rglob("*"):
    if path.is_file():
        data = path.read_bytes()
        hits = sum(v in data for v in values)
        found += hits
        if hits:
            print(f"       {hits} planted values in {path}")
check(found == 0, f"none of {len(values)} planted values lies in clear under the work folder")
sys.exit(1 if problems else 0)

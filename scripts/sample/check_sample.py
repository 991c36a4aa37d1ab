#!/usr/bin/env python3
"""Checks the quick-start sample against its keys: every planted value stands where the key says, none stands anywhere else, check digits and counts are
right, no open value is shared between sessions, and (with --again) the script makes the same bytes. Exit 1 with the reason otherwise.
"""

import argparse
import collections
import filecmp
import json
import os
import re
import subprocess
import sys
import tempfile

from make_sample import strings
from private import iban_ok, luhn_ok

HERE = os.path.dirname(os.path.abspath(__file__))
SHAPES = {
    "email": r"[\w.]+@[\w.]+\.(com|org|net)",
    "phone": r"0\d{1,4} [\d ]{6,9}",
    "ip": r"(192\.0\.2|198\.51\.100|203\.0\.113)\.\d+|2001:db8:[\da-f:]+",
    "url_credential": r"\w+:\w{10}",
    "jwt": r"eyJ[\w-]+\.eyJ[\w-]+\.[\w-]+",
    "private_key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----\n[\s\S]+\n-----END [A-Z ]*PRIVATE KEY-----",
    "cloud_key": r"AKIA[A-Z2-7]{16}|AIza\w{35}|ghp_\w{36}",
    "model_key": r"sk-proj-\w{48}|sk-ant-api03-\w{95}|hf_\w{34}",
    "person": r"[A-Z][a-z]+ [A-Z][a-z]+",
}
# the open values of the sample, wherever they stand
OPEN_VALUES = re.compile(r"BW-\d{5}|\b[GXTQZ]{2}\d{7}\b|\b0\d{1,4} \d{3,6}(?: \d{4})?\b|[\w.]+@[\w.]+\w")

_WORD = re.compile(r"(?<!\w)[\w-]")


def fail(message):
    print("sample: " + message, file=sys.stderr)
    sys.exit(1)


def get(value, path):
    for step in re.findall(r"[^.\[\]]+", path):
        value = value[int(step)] if isinstance(value, list) else value[step]
    return value


def check_value(kind, v):
    plain = re.sub(r"[ -]", "", v)
    if kind == "card" and not (len(plain) == 16 and luhn_ok(plain)):
        return False
    if kind == "iban" and not iban_ok(v):
        return False
    if kind == "decoy" and len(plain) == 16 and plain.isdigit() and luhn_ok(plain):
        return False
    return kind not in SHAPES or re.fullmatch(SHAPES[kind], v) is not None


def check_keys(folder, lines):
    known = collections.defaultdict(set)
    at = collections.defaultdict(list)
    n = collections.Counter()
    with open(os.path.join(folder, "pii_key.jsonl"), encoding="utf-8") as f:
        for i, row in enumerate(f, 1):
            k = json.loads(row)
            text = get(lines[k["file"]][k["line"] - 1], k["path"])
            if text[k["start"] : k["start"] + len(k["value"])] != k["value"]:
                fail("pii_key.jsonl:%d: the value is not at %s of %s:%d" % (i, k["path"], k["file"], k["line"]))
            if not check_value(k["type"], k["value"]):
                fail("pii_key.jsonl:%d: no %s" % (i, k["type"]))
            n[k["type"]] += 1
            if k["type"] != "decoy":
                known[k["type"]].add(k["value"])
                at[k["file"], k["line"], k["path"]].append((k["start"], k["value"]))
    # a private value must be in the key wherever it stands
    starts = collections.defaultdict(list)
    for values in known.values():
        for v in values:
            starts[v[:6]].append(v)
    for name, rows in lines.items():
        for i, row in enumerate(rows, 1):
            for path, text in strings(row):
                inside = [(s, s + len(v)) for s, v in at.get((name, i, path), [])]
                for m in _WORD.finditer(text):
                    for v in starts.get(text[m.start() : m.start() + 6], ()):
                        if text.startswith(v, m.start()) and not any(
                            a <= m.start() and m.start() + len(v) <= b for a, b in inside
                        ):
                            fail("%s:%d: a private value at %s is not in the key" % (name, i, path))
    return n


def check_sessions(lines, kinds):
    """No order, parcel, phone number or mail address belongs to two sessions, but for those that were written twice on purpose."""
    owner = {}
    again = {row["session_id"] for key, row in kinds if key["kind"] == "near_duplicate"}
    for _, row in kinds:
        if row["session_id"] in again:
            continue
        for _, text in strings(row["request"]["messages"]):
            for v in OPEN_VALUES.findall(text):
                if owner.setdefault(v, row["session_id"]) != row["session_id"]:
                    fail("two sessions share an open value")


def main():
    p = argparse.ArgumentParser(description="Checks the quick-start sample against its keys.")
    p.add_argument("--folder", default=os.path.join(HERE, "..", "..", "pipelines", "quickstart"))
    p.add_argument("--again", action="store_true", help="make the sample once more and compare")
    a = p.parse_args()
    with open(os.path.join(a.folder, "sample_key.json"), encoding="utf-8") as f:
        facts = json.load(f)
    lines = {}
    for name in sorted(os.listdir(os.path.join(a.folder, "sample"))):
        with open(os.path.join(a.folder, "sample", name), encoding="utf-8") as f:
            lines[name] = [json.loads(row) for row in f]
    with open(os.path.join(a.folder, "task_key.jsonl"), encoding="utf-8") as f:
        kinds = [(k, lines[k["file"]][k["line"] - 1]) for k in map(json.loads, f)]
    if len(kinds) != facts["calls"] or sum(map(len, lines.values())) != facts["calls"]:
        fail(
            "%d calls promised, %d in the task key, %d in the log"
            % (facts["calls"], len(kinds), sum(map(len, lines.values())))
        )
    if collections.Counter(k["kind"] for k, _ in kinds) != facts["by_kind"]:
        fail("the counts by kind differ")
    n = check_keys(a.folder, lines)
    if n != facts["private_occurrences"]:
        fail("the counts of private values differ")
    check_sessions(lines, kinds)
    for k, row in kinds:
        truth = row.get("outcome", {}).get("truth")
        if k["kind"] in ("ok", "wrong", "retry", "resent", "near_duplicate") and k["task"] in facts["gradable"]:
            said = row["response"]["choices"][0]["message"]
            if truth is None:
                fail("a gradable call has no truth")
            same = (
                said["content"] == truth["content"]
                if "content" in truth
                else [(c["function"]["name"], json.loads(c["function"]["arguments"])) for c in said["tool_calls"]]
                == [(c["name"], c["arguments"]) for c in truth["tool_calls"]]
            )
            if same == (k["kind"] == "wrong") and k["kind"] != "near_duplicate":
                fail(
                    "%s:%d: kind %s, but the answer is %s"
                    % (k["file"], k["line"], k["kind"], "right" if same else "wrong")
                )
        elif truth is not None:
            fail("a call that nobody can grade has a truth")
    if a.again:
        with tempfile.TemporaryDirectory() as tmp:
            subprocess.run(
                [sys.executable, os.path.join(HERE, "make_sample.py"), "--seed", str(facts["seed"]), "--out", tmp],
                check=True,
            )
            names = ["pii_key.jsonl", "task_key.jsonl", "sample_key.json"] + [os.path.join("sample", x) for x in lines]
            if filecmp.cmpfiles(a.folder, tmp, names, shallow=False)[0] != names:
                fail("the script makes another sample than the one here")
    print(
        "sample: %d calls, %d sessions, %d private values at %d places: as the keys say"
        % (
            facts["calls"],
            facts["sessions"],
            sum(v for k, v in facts["private_values"].items() if k != "decoy"),
            sum(v for k, v in n.items() if k != "decoy"),
        )
    )


if __name__ == "__main__":
    main()

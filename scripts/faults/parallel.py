#!/usr/bin/env python3
"""Runs importers, scrubbing, verifying, compacting, backups and key rotation on one store at the same time, in processes.

Use: scripts/faults/parallel.py PROGRAM [--rounds 3] [--calls N]

At the end: every call is there once, `store verify` holds, all calls open. Exit code 0 then. A command may answer 11
(locked) and is given again; anything else is a failure.
"""
import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=400)
    args = parser.parse_args()
    work = pathlib.Path(tempfile.mkdtemp(prefix="slmconv-parallel-"))
    store, keys = work / "store", work / "keys"
    env = dict(os.environ, OMP_NUM_THREADS="1", SLMCONV_LOCK_WAIT_MS="60000")
    failures = []

    def run(*words):
        while True:
            done = subprocess.run([args.program, "--json", "--store", store, "--identity", keys, *map(str, words)],
                                  env=env, capture_output=True, text=True)
            if done.returncode == 11:
                continue
            if done.returncode != 0:
                failures.append(f"{words}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
            return json.loads(done.stdout.splitlines()[-1])

    subprocess.run([args.program, "init", store, "--keys", keys], check=True, capture_output=True)
    n_logs = 3
    for log in range(n_logs):
        with open(work / f"{log}.jsonl", "w", encoding="utf-8") as out:
            for i in range(args.calls):
                print(json.dumps({"messages": [{"role": "system", "content": f"Task {log}."},
                                               {"role": "user", "content": f"call {i} of {log}" + " word" * (i % 90)},
                                               {"role": "assistant", "content": f"answer {i}"}]}), file=out)

    def importer(log):
        for _ in range(args.rounds):  # the second time all is known
            run("collect", work / f"{log}.jsonl", "--batch-calls", 20)

    def others():
        for i in range(args.rounds):
            run("store", "verify")
            run("keys", "rotate", "raw-body")
            run("store", "compact")
            run("store", "backup", work / f"b{i}", "--keys-to", work / f"k{i}")
            run("audit", "show")

    def curator():
        for _ in range(args.rounds):
            run("scrub", "--keep-duplicates")

    threads = [threading.Thread(target=importer, args=(log,)) for log in range(n_logs)]
    threads += [threading.Thread(target=others)]
    for thread in threads:
        thread.start()
    threads[0].join()  # a scrub of an empty store has nothing to do
    curating = threading.Thread(target=curator)
    curating.start()
    for thread in threads + [curating]:
        thread.join()
    run("scrub", "--keep-duplicates")
    run("store", "verify")
    n_raw = run("store", "info")["n_raw"]
    if n_raw != n_logs * args.calls:
        failures.append(f"{n_raw} calls, {n_logs * args.calls} were imported")
    if failures:
        print("\n".join(failures), file=sys.stderr)
        print(f"the store is left in {work}", file=sys.stderr)
        sys.exit(1)
    shutil.rmtree(work)
    print(f"{n_raw} calls by {n_logs} importers beside verify, rotate, compact, backup, audit and scrub: all there, once")


if __name__ == "__main__":
    main()

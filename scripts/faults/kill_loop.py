#!/usr/bin/env python3
"""Kills slmconv (SIGKILL) at random moments of importing and of merging, and counts what that did.

Use: scripts/faults/kill_loop.py PROGRAM [--kills 1000] [--seed N] [--calls N]

Rounds of: a new home store and a joined one; an import into the joined one, killed again and again at random moments
until one comes through; a merge of it into the home store, likewise. After every kill: what was committed before it is
there (acknowledged = the importer's commit, seen from outside), and nothing is there twice. At the end of a round: all
calls are there, once; `store verify` holds for both; every call opens (a scrub reads all of them).
Exit code 0: no acknowledged call lost, none unreadable.
"""
import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time


class Loop:
    def __init__(self, program, kills, seed, n_calls):
        self.program, self.want, self.rng, self.n_calls = program, kills, random.Random(seed), n_calls
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="slmconv-kill-"))
        self.kills = {"import": 0, "merge": 0}
        self.in_time = {"import": 0.2, "merge": 0.2}  # seconds a whole run takes, as learnt
        self.env = dict(os.environ, SLMCONV_LOCK_WAIT_MS="60000", OMP_NUM_THREADS="1")

    def run(self, *args):
        done = subprocess.run([self.program, *map(str, args)], env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            self.fail(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def fail(self, why):
        print(why, file=sys.stderr)
        print(f"after {self.kills}; the stores are left in {self.work}", file=sys.stderr)
        sys.exit(1)

    def committed(self, store):
        """Raw calls in committed batches, read beside the program; nothing is written or checkpointed."""
        db = sqlite3.connect(f"file:{store}/log.db?mode=ro", uri=True, timeout=30)
        try:
            return db.execute("SELECT ifnull(sum(n_calls), 0) FROM entries WHERE kind = 1").fetchone()[0]
        finally:
            db.close()

    def until_through(self, what, store, limit, *args):
        """Runs a command, killed each time, until it ends by itself."""
        while True:
            started = time.monotonic()
            # In a process group of its own, so that nothing it starts survives it.
            child = subprocess.Popen([self.program, *map(str, args)], env=self.env, stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE, start_new_session=True)
            alive_s = self.rng.uniform(0, 1.3 * self.in_time[what])
            acknowledged = 0
            while child.poll() is None and time.monotonic() - started < alive_s:
                acknowledged = max(acknowledged, self.committed(store))
                time.sleep(0.001)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            errors = child.stderr.read()
            child.stderr.close()
            child.wait()
            after = self.committed(store)
            if after < acknowledged:
                self.fail(f"{what}: {acknowledged} calls were committed, {after} are there after the kill")
            if after > limit:
                self.fail(f"{what}: {after} calls of {limit}")
            if child.returncode == 0:
                self.in_time[what] = max(0.05, time.monotonic() - started)
                return
            if child.returncode != -signal.SIGKILL:
                self.fail(f"{what}: exit code {child.returncode}\n{errors.decode()}")
            self.kills[what] += 1
            self.in_time[what] *= 1.02  # a machine that got slower must get through, too
            # Not every kill needs a full check, every round does.
            if self.rng.random() < 0.1:
                self.run("--store", store, "store", "verify")

    def round(self, number):
        base = self.work / str(number)
        home, away, keys = base / "home", base / "away", base / "keys"
        base.mkdir()
        log = base / "calls.jsonl"
        with open(log, "w", encoding="utf-8") as out:
            for i in range(self.n_calls):
                text = "".join(self.rng.choice("abcdefghij ") for _ in range(self.rng.randint(10, 1500)))
                print(json.dumps({"messages": [{"role": "system", "content": "Answer in a word."},
                                               {"role": "user", "content": f"call {i} {text}"},
                                               {"role": "assistant", "content": f"answer {i}"}]}), file=out)
        self.run("init", home, "--keys", keys)
        self.run("--store", home, "--identity", keys, "store", "bundle", "--new-store", "--out", base / "b")
        self.run("init", away, "--join", base / "b")
        batch = self.rng.choice([1, 7, 50, 4096])
        self.until_through("import", away, self.n_calls, "--store", away, "--identity", keys, "collect", log,
                           "--batch-calls", batch)
        self.until_through("merge", home, self.n_calls, "--store", home, "--identity", keys, "store", "merge", away)
        for store in (home, away):
            if self.committed(store) != self.n_calls:
                self.fail(f"{store}: {self.committed(store)} calls of {self.n_calls}")
            self.run("--store", store, "store", "verify")
        self.run("--store", home, "--identity", keys, "scrub", "--keep-duplicates")
        self.run("--store", home, "store", "compact")
        self.run("--store", home, "store", "verify")
        shutil.rmtree(base)

    def all(self):
        number = 0
        while min(self.kills.values()) < self.want:
            number += 1
            self.round(number)
        shutil.rmtree(self.work)
        print(f"{self.kills['import']} kills of an import, {self.kills['merge']} of a merge, in {number} rounds of "
              f"{self.n_calls} calls: 0 acknowledged calls lost, 0 twice, 0 unreadable")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=1000, help="of imports, and of merges, at least")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--calls", type=int, default=300)
    args = parser.parse_args()
    print(f"seed {args.seed}")
    Loop(args.program, args.kills, args.seed, args.calls).all()


if __name__ == "__main__":
    main()

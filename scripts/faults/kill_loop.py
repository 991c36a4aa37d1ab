#!/usr/bin/env python3
"""Kills slmconv (SIGKILL) at random moments of what it writes, and counts what that did.

Use: scripts/faults/kill_loop.py PROGRAM [--kills 1000] [--what import,merge,erase,retain,rotate] [--seed N] [--calls N]

Every command is killed again and again at random moments until one run of it comes through. Two kinds of rounds:

- a fleet's: an import into a joined store, where in two rounds of three a source is erased afterwards; a merge of that
  store into the home store.
- one store's: a rotation of keys, the erasure of a source, the removal of calls by their age, with imports and scrubs
  between.

After every kill what was committed before it is there (acknowledged = the importer's commit, seen from outside), and
nothing is there twice; after kills of merges and upkeep, always, and after some of imports, `store verify` holds. When a
command came through: all calls are there, once, less what was to go; nothing of that is left over, and keys.db holds
no encapsulation of it; every call opens (a scrub reads all of them).
Exit code 0: no acknowledged call lost, none unreadable, nothing left that should have gone.
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

FLEET, UPKEEP = ("import", "merge"), ("erase", "retain", "rotate")


def rows(path, query):
    """Read beside the program; nothing is written or checkpointed."""
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def committed(store):
    """Raw calls in committed batches, erased ones too."""
    return rows(f"{store}/log.db", "SELECT ifnull(sum(n_calls), 0) FROM entries WHERE kind = 1")[0][0]


class Loop:
    def __init__(self, program, args):
        self.program, self.want, self.n_calls = program, args.kills, args.calls
        self.rng = random.Random(args.seed)
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="slmconv-kill-"))
        self.kills = {what: 0 for what in args.what}
        self.in_time = {what: 0.2 for what in FLEET + UPKEEP}  # seconds a whole run takes, as learnt
        self.through = {what: 0 for what in FLEET + UPKEEP}
        self.env = dict(os.environ, SLMCONV_LOCK_WAIT_MS="60000", OMP_NUM_THREADS="1")

    def run(self, *args):
        done = subprocess.run([self.program, *map(str, args)], env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            self.fail(f"{' '.join(map(str, args))}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def summary(self, *args):
        return json.loads(self.run("--json", *args).splitlines()[-1])

    def fail(self, why):
        print(why, file=sys.stderr)
        print(f"after {self.kills}; the stores are left in {self.work}", file=sys.stderr)
        sys.exit(1)

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
                acknowledged = max(acknowledged, committed(store))
                time.sleep(0.001)
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
            errors = child.stderr.read()
            child.stderr.close()
            child.wait()
            after = committed(store)
            if after < acknowledged:
                self.fail(f"{what}: {acknowledged} calls were committed, {after} are there after the kill")
            if after > limit:
                self.fail(f"{what}: {after} calls of {limit}")
            if child.returncode == 0:
                self.in_time[what] = max(0.05, time.monotonic() - started)
                self.through[what] += 1
                return
            if child.returncode != -signal.SIGKILL:
                self.fail(f"{what}: exit code {child.returncode}\n{errors.decode()}")
            if what in self.kills:
                self.kills[what] += 1
            self.in_time[what] *= 1.02  # a machine that got slower must get through, too
            # Not every kill of an import needs a full check, every round does.
            if what != "import" or self.rng.random() < 0.1:
                self.run("--store", store, "store", "verify")

    def write_log(self, path, name, sources):
        with open(path, "w", encoding="utf-8") as out:
            for i in range(self.n_calls):
                text = "".join(self.rng.choice("abcdefghij ") for _ in range(self.rng.randint(10, 1500)))
                print(json.dumps({"client_id": sources[i % len(sources)],
                                  "messages": [{"role": "system", "content": "Answer in a word."},
                                               {"role": "user", "content": f"call {i} of {name} {text}"},
                                               {"role": "assistant", "content": f"answer {i}"}]}), file=out)

    def nothing_left(self, store):
        """What signed acts erased is gone from both files."""
        report = self.summary("--store", store, "store", "verify")
        if report["n_left_over"] != 0:
            self.fail(f"{store}: {report['n_left_over']} rows of erased groups are left")
        gone = set()
        for (facts,) in rows(f"{store}/log.db", "SELECT facts FROM entries WHERE action IN ('erase', 'retention')"):
            gone.update(json.loads(facts)["groups"])
        kept = {name for (name,) in rows(f"{store}/keys.db", "SELECT lower(hex(grp)) FROM encapsulations")}
        if gone & kept:
            self.fail(f"{store}: keys.db still opens {len(gone & kept)} erased groups")
        return report["n_erased"]

    def fleet_round(self, base):
        home, away, keys = base / "home", base / "away", base / "keys"
        log = base / "calls.jsonl"
        sources = [f"source {i}" for i in range(5)]
        self.write_log(log, "the log", sources)
        self.run("init", home, "--keys", keys)
        self.run("--store", home, "--identity", keys, "store", "bundle", "--new-store", "--out", base / "b")
        self.run("init", away, "--join", base / "b")
        batch = self.rng.choice([1, 7, 50, 4096])
        self.until_through("import", away, self.n_calls, "--store", away, "--identity", keys, "collect", log,
                           "--batch-calls", batch)
        left = self.n_calls
        # The home store's next command must be one by a key that hasn't seen the admin's newer entries.
        merger = keys / "collector.key"
        if self.rng.random() < 2 / 3:
            left -= self.summary("--store", away, "--identity", keys, "store", "erase", "--source",
                                 sources[0])["n_raw"]
        self.until_through("merge", home, self.n_calls, "--store", home, "--identity", merger, "store", "merge", away)
        for store in (home, away):
            if committed(store) != self.n_calls:
                self.fail(f"{store}: {committed(store)} calls of {self.n_calls}")
            self.nothing_left(store)
            if self.summary("--store", store, "store", "info")["n_raw"] != left:
                self.fail(f"{store}: not {left} calls")
        self.run("--store", home, "--identity", keys, "scrub", "--keep-duplicates")
        self.run("--store", home, "store", "compact")
        self.run("--store", home, "store", "verify")

    def upkeep_round(self, base):
        store, keys = base / "store", base / "keys"
        self.run("init", store, "--keys", keys)
        use = ("--store", store, "--identity", keys)
        n_all = n_erased = 0
        for turn in range(4):
            log, sources = base / "calls.jsonl", [f"source {turn} {i}" for i in range(3)]
            self.write_log(log, turn, sources)
            what = self.rng.choice(["all", "raw-meta", "raw-body", "curated-body", "pseudonym"])
            self.until_through("rotate", store, n_all, *use, "keys", "rotate", what)
            self.run(*use, "collect", log, "--batch-calls", self.rng.choice([1, 7, 4096]))
            n_all += self.n_calls
            self.run(*use, "scrub", "--keep-duplicates")  # opens all of it, over the new keys
            before = self.summary("--store", store, "store", "info")
            of_source = len(range(0, self.n_calls, 3))
            self.until_through("erase", store, n_all, *use, "store", "erase", "--source", sources[0])
            now_erased = self.nothing_left(store)
            if now_erased <= n_erased:
                self.fail("erase: nothing was erased")
            info = self.summary("--store", store, "store", "info")
            if info["n_raw"] != before["n_raw"] - of_source or info["n_curated"] >= before["n_curated"]:
                self.fail(f"erase: {before} became {info}, {of_source} raw calls were to go")
            self.run(*use, "scrub", "--keep-duplicates")
            space = self.rng.choice(["raw", "curated"])
            self.until_through("retain", store, n_all, *use, "store", "retain", f"--{space}-days", 0)
            n_erased = self.nothing_left(store)
            if n_erased <= now_erased:
                self.fail("retain: nothing was removed")
            after = self.summary("--store", store, "store", "info")
            other = "curated" if space == "raw" else "raw"
            if after[f"n_{space}"] != 0 or after[f"n_{other}"] != info[f"n_{other}"]:
                self.fail(f"retain: {info} became {after}")
        self.run("--store", store, "store", "compact")
        if self.summary("--store", store, "store", "verify")["n_orphans"] != 0:
            self.fail("compact left orphans")

    def all(self):
        number = 0
        for whats, one_round in ((FLEET, self.fleet_round), (UPKEEP, self.upkeep_round)):
            while any(self.kills.get(what, self.want) < self.want for what in whats):
                number += 1
                base = self.work / str(number)
                base.mkdir()
                one_round(base)
                shutil.rmtree(base)
        shutil.rmtree(self.work)
        kills = ", ".join(f"{n} kills of {what} ({self.through[what]} came through)" for what, n in self.kills.items())
        print(f"{kills}; {number} rounds of {self.n_calls} calls a log: 0 acknowledged calls lost, 0 twice, 0 "
              "unreadable, nothing erased left")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--kills", type=int, default=1000, help="of each, at least")
    parser.add_argument("--what", default=",".join(FLEET + UPKEEP), type=lambda text: text.split(","))
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--calls", type=int, default=300)
    args = parser.parse_args()
    if unknown := set(args.what) - set(FLEET + UPKEEP):
        parser.error(f"--what: {', '.join(sorted(unknown))}: one or more of {', '.join(FLEET + UPKEEP)}")
    print(f"seed {args.seed}")
    Loop(args.program, args).all()


if __name__ == "__main__":
    main()

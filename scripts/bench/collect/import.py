#!/usr/bin/env python3
"""Importing a log beside writing its lines into one plain SQLite table: the same file, batches and cores, by turns.

The plain side is Python's sqlite3: a table of BLOBs, a raw line a row, write-ahead log, synchronous FULL, a transaction of
--batch lines. slmconv parses, normalises, names, deduplicates, compresses, seals and signs the same lines. Works:
  tau     tau-bench's airline calls (../shared/data/agent-logs, skipped where absent) as chat requests with their responses,
          repeated under other sessions and texts
  small   made calls of about 1 KB, 8 a session
Bytes are those of the store's databases and of the plain file, once its log is folded in.

Use: scripts/bench/collect/import.py [--build build/release] [--runs 3] [--calls 20000] [--batch 4096] [--readme]
     --scrub also scrubs the last store of `small`, and says rate and memory: --calls 1000000 --runs 1 --scrub for a million
"""
import argparse
import datetime
import json
import os
import pathlib
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from common import DATA, ROOT, cpu, publish

PLAIN = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[2], isolation_level=None)
db.execute("PRAGMA journal_mode=WAL"); db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE calls(id INTEGER PRIMARY KEY, line BLOB)")
batch = []
def commit():
    db.execute("BEGIN"); db.executemany("INSERT INTO calls(line) VALUES (?)", batch); db.execute("COMMIT"); batch.clear()
for line in open(sys.argv[1], "rb"):
    batch.append((line,))
    if len(batch) == int(sys.argv[3]): commit()
if batch: commit()
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
"""
WORDS = ("order parcel invoice account refund courier window address delay ticket customer agent reply status number "
         "return label price quote billing support warehouse shipment pending arrived damaged exchange policy").split()


def tau_records(n_calls):
    """Chat requests with their responses, in the order in which a log would have them."""
    with open(DATA / "agent-logs/tau-bench-airline-gpt4o.json", encoding="utf-8") as file:
        sessions = json.load(file)
    n = 0
    for repeat in range(1 << 30):
        for at, session in enumerate(sessions):
            messages = []
            for message in session["traj"]:
                message = {key: value for key, value in message.items() if value is not None}
                if message["role"] == "user":
                    message["content"] = f"{message['content']} [{repeat}-{at}]"
                if message["role"] == "assistant":
                    yield {"session_id": f"s{repeat}-{at}", "client_id": f"bot-{at % 7}", "request": {"model": "gpt-4o", "messages": messages},
                           "response": {"model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}}
                    n += 1
                    if n == n_calls:
                        return
                messages = messages + [message]


def small_records(n_calls):
    rng = random.Random(1)
    system = "You answer questions about parcels. " + " ".join(rng.choices(WORDS, k=40))
    for i in range(n_calls):
        text = " ".join(rng.choices(WORDS, k=60))
        yield {"session_id": f"s{i // 8}", "client_id": f"bot-{i % 7}", "request": {"model": "gpt-4o", "messages": [
            {"role": "system", "content": system}, {"role": "user", "content": f"{i}: {text}"}]},
            "response": {"model": "gpt-4o", "choices": [{"index": 0, "finish_reason": "stop", "message": {
                "role": "assistant", "content": " ".join(rng.choices(WORDS, k=8))}}]}}


def timed(command, **more):
    """Seconds, peak resident bytes, standard output."""
    begun = time.perf_counter()
    child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)
    out, errors = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{command[1:4]}: exit code {child.returncode}\n{errors[-2000:]}")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024, out


def folded_bytes(folder):
    """Of the databases there, their write-ahead logs folded in."""
    total = 0
    for path in folder.glob("*.db"):
        db = sqlite3.connect(path)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.close()
        total += path.stat().st_size
    return total


def figures(name, runs, n_calls, n_raw):
    rates = sorted(n_calls / run["seconds"] for run in runs)
    return {"name": name, "rate": statistics.median(rates), "spread": (rates[0], rates[-1]), "bytes": runs[-1]["bytes"],
            "peak": max(run["peak"] for run in runs), "megabytes": n_raw / n_calls * statistics.median(rates) / 1e6}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--work", action="append", choices=["tau", "small"])
    parser.add_argument("--scrub", action="store_true")
    parser.add_argument("--folder", help="where to write (default: a temporary folder)")
    parser.add_argument("--readme", action="store_true", help="write the table into README.md")
    args = parser.parse_args()
    slmconv = ROOT / args.build / "slmconv"
    if not slmconv.exists():
        sys.exit(f"{slmconv} isn't built: scripts/build.sh")
    out = [f"{cpu()}, {os.cpu_count()} cores; {datetime.date.today()}; SQLite {sqlite3.sqlite_version}; {args.calls:,} calls, "
           f"{args.batch:,} a batch; {args.runs} {'run' if args.runs == 1 else 'runs, medians'}.", "",
           "| | calls/s | spread | MB/s read | times | bytes | of the plain table | peak memory |",
           "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"]
    with tempfile.TemporaryDirectory(dir=args.folder) as temporary:
        work = pathlib.Path(temporary)
        os.environ["XDG_STATE_HOME"] = str(work / "state")
        for name, records in (("tau", tau_records), ("small", small_records)):
            if name not in (args.work or ["tau", "small"]):
                continue
            if name == "tau" and not (DATA / "agent-logs").is_dir():
                print(f"skipped tau: {DATA} isn't there", file=sys.stderr)
                continue
            log = work / f"{name}.jsonl"
            with open(log, "w", encoding="utf-8") as file:
                for record in records(args.calls):
                    print(json.dumps(record, separators=(",", ":")), file=file)
            n_raw = log.stat().st_size
            plain, ours, store = [], [], None
            for run in range(args.runs):
                folder = work / f"plain-{name}{run}"
                folder.mkdir()
                seconds, peak, _ = timed([sys.executable, "-c", PLAIN, log, folder / "plain.db", args.batch])
                plain.append({"seconds": seconds, "peak": peak, "bytes": folded_bytes(folder)})
                (folder / "plain.db").unlink()
                store, keys = work / f"{name}{run}", work / f"{name}{run}.keys"
                timed([slmconv, "init", store, "--keys", keys])
                common = [slmconv, "--json", "--store", store, "--identity", keys]
                seconds, peak, told = timed([*common, "collect", log, "--dialect", "openai_chat", "--batch-calls", args.batch])
                stored = json.loads(told.splitlines()[-1])["n_out"]
                if stored != args.calls:
                    sys.exit(f"{stored} calls of {args.calls} were stored")
                ours.append({"seconds": seconds, "peak": peak, "bytes": folded_bytes(store)})
                print(f"  {name}, run {run + 1}: plain {plain[-1]['seconds']:.2f} s, slmconv {ours[-1]['seconds']:.2f} s", file=sys.stderr)
            sides = [figures(f"plain table, calls of {n_raw / args.calls / 1000:.1f} KB", plain, args.calls, n_raw),
                     figures("slmconv collect", ours, args.calls, n_raw)]
            for side in sides:
                out.append(f"| {side['name']} | {side['rate']:,.0f} | {side['spread'][0]:,.0f}–{side['spread'][1]:,.0f} | "
                           f"{side['megabytes']:,.0f} | {side['rate'] / sides[0]['rate']:.2f}× | {side['bytes'] / 1e6:,.1f} MB | "
                           f"{side['bytes'] / sides[0]['bytes']:.2f} | {side['peak'] / 1e6:,.0f} MB |")
            log.unlink()
            if args.scrub and name == "small":
                seconds, peak, told = timed([*common, "scrub"])
                scrubbed = json.loads(told.splitlines()[-1])
                out.append(f"| slmconv scrub of them | {args.calls / seconds:,.0f} | | | | {folded_bytes(store) / 1e6:,.1f} MB | | "
                           f"{peak / 1e6:,.0f} MB |")
                print(f"  scrub: {seconds:.1f} s, {json.dumps(scrubbed)[:300]}", file=sys.stderr)
    publish([*out, ""], "bench-import", args.readme)


if __name__ == "__main__":
    main()

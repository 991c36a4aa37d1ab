#!/usr/bin/env python3
"""Kills the recording proxy under load again and again; no acknowledged call may be lost.

Use: proxy_kill.py SLMCONV PROXY_LOAD [KILLS] [--durability fast]
durable: every call whose answer came whole must be in the store, readable, and the store must verify.
fast: what is lost must be reported by the next start: acknowledged calls not stored <= calls reported lost.
KILLS is 10 in the short form, 1000 in the long one. Exits 0, or 1 and says what is missing.
"""
import argparse
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time

import live


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("slmconv")
    parser.add_argument("load")
    parser.add_argument("kills", nargs="?", type=int, default=10)
    parser.add_argument("--durability", default="durable", choices=["durable", "fast"])
    args = parser.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        common = live.new_store(args.slmconv, work)
        mock_port = free_port()
        mock = subprocess.Popen([args.load, "mock", str(mock_port)])
        reported = 0

        command = [*common, "collect", "--listen", "127.0.0.1:0", "--upstream", f"http://127.0.0.1:{mock_port}", "--durability", args.durability]

        def warned(line):
            nonlocal reported
            if "calls it had begun" in line:
                reported += int(next(word for word in line.split() if word.isdigit()))

        try:
            for _ in range(args.kills):
                proxy, port = live.start(command, warned)
                clients = subprocess.Popen([args.load, "count", str(port), str(work / "acked"), "seconds=30"])
                time.sleep(rng.uniform(0.02, 0.6))
                proxy.send_signal(signal.SIGKILL)
                proxy.wait()
                clients.kill()
                clients.wait()
            live.end(live.start(command, warned)[0], common)
        finally:
            mock.kill()
            mock.wait()
        acked = set((work / "acked").read_text().split())
        stored = live.stored(args.load, work).split()
        lost = acked - set(stored)
        print(f"{args.kills} kills, {args.durability}: {len(acked)} calls acknowledged, {len(stored)} stored, "
              f"{len(lost)} acknowledged and lost, {reported} reported as begun and not stored")
        if not acked:
            sys.exit("no call was acknowledged: nothing was tried")
        if len(stored) != len(set(stored)):
            sys.exit("calls are stored twice")
        if len(lost) > (0 if args.durability == "durable" else reported):
            sys.exit("calls are lost")


if __name__ == "__main__":
    main()

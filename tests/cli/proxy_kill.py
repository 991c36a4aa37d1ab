#!/usr/bin/env python3
"""Kills the recording proxy under load again and again; no acknowledged call may be lost.

Use: proxy_kill.py SLMCONV PROXY_LOAD [KILLS] [--durability fast]
durable: every call whose answer came whole must be in the store, readable, and the store must verify.
fast: what is lost must be reported by the next start: acknowledged calls not stored <= calls reported lost.
KILLS is 10 in the short form, 1000 in the long one. Exits 0, or 1 and says what is missing.
"""
import argparse
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time


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
        os.environ["XDG_STATE_HOME"] = str(work / "state")
        os.environ.pop("SLMCONV_STORE", None)
        os.environ.pop("SLMCONV_IDENTITY", None)
        common = [args.slmconv, "--json", "--store", str(work / "store"), "--identity", str(work / "keys")]
        subprocess.run([args.slmconv, "init", str(work / "store"), "--keys", str(work / "keys")], check=True, stdout=subprocess.DEVNULL)
        mock_port = free_port()
        mock = subprocess.Popen([args.load, "mock", str(mock_port)])
        reported = 0

        def start():
            proxy = subprocess.Popen(common + ["collect", "--listen", "127.0.0.1:0", "--upstream", f"http://127.0.0.1:{mock_port}",
                                               "--durability", args.durability], stdout=subprocess.PIPE, text=True)
            nonlocal reported
            for line in proxy.stdout:
                message = json.loads(line)
                if message.get("message_type") == "warning" and "calls it had begun" in line:
                    reported += int(next(word for word in line.split() if word.isdigit()))
                if "listening_port" in message:
                    return proxy, message["listening_port"]
                if message.get("message_type") == "summary":
                    sys.exit(f"the proxy didn't start: {line}")
            sys.exit("the proxy didn't start")

        try:
            for _ in range(args.kills):
                proxy, port = start()
                clients = subprocess.Popen([args.load, "count", str(port), str(work / "acked"), "seconds=30"])
                time.sleep(rng.uniform(0.02, 0.6))
                proxy.send_signal(signal.SIGKILL)
                proxy.wait()
                clients.kill()
                clients.wait()
            proxy, _ = start()
            proxy.send_signal(signal.SIGTERM)
            proxy.communicate()
            if proxy.returncode != 0:
                sys.exit(f"the proxy ended with {proxy.returncode} after SIGTERM")
        finally:
            mock.kill()
            mock.wait()
        verified = subprocess.run(common + ["store", "verify"], capture_output=True, text=True)
        if verified.returncode != 0:
            sys.exit(f"store verify: {verified.returncode}: {verified.stdout[-400:]}")
        acked = set((work / "acked").read_text().split())
        stored = subprocess.run([args.load, "stored", str(work / "store"), str(work / "keys")], capture_output=True, text=True, check=True)
        stored = stored.stdout.split()
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

#!/usr/bin/env python3
"""What the recording proxy adds: the same clients against the same mock provider, directly and through it, by turns.

Use: proxy.py [--build build/release] [--runs 3] [--rate 500] [--streams 100] [--seconds 10] [--durability fast]
              [--real-time] [--soak]
--real-time runs mock, proxy and clients with `chrt -r 5`, for a machine that does other things too (needs root).
--soak also holds 10,000 connections, passes 1 GB and lets one client stall, and says the proxy's memory meanwhile.
Prints JSON lines, and the medians over the runs as a table. Clients, mock and proxy share the machine's cores.
"""
import argparse
import json
import os
import pathlib
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[3]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def memory_mb(pid, key="VmRSS"):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith(key + ":")).split()[1]) / 1024


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", default="build/release")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--rate", type=int, default=500)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--durability", default="fast", choices=["fast", "durable"])
    parser.add_argument("--threads", type=int, default=1, help="of the proxy")
    parser.add_argument("--real-time", action="store_true")
    parser.add_argument("--soak", action="store_true")
    args = parser.parse_args()
    slmconv, load = ROOT / args.build / "slmconv", ROOT / args.build / "tests/proxy_load"
    for program in (slmconv, load):
        if not program.exists():
            sys.exit(f"{program} isn't built: scripts/build.sh release slmconv proxy_load")
    first = ["chrt", "-r", "5"] if args.real_time else []
    cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    print(json.dumps({"cpu": cpu, "cores": os.cpu_count(), "load_average": os.getloadavg()[0], **vars(args)}))
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        os.environ["XDG_STATE_HOME"] = str(work / "state")
        common = [slmconv, "--json", "--threads", str(args.threads), "--store", work / "store", "--identity", work / "keys"]
        subprocess.run([slmconv, "init", work / "store", "--keys", work / "keys"], check=True, stdout=subprocess.DEVNULL)
        mock_port = free_port()
        mock = subprocess.Popen([*first, load, "mock", str(mock_port)])
        proxy = subprocess.Popen([*first, *common, "collect", "--listen", "127.0.0.1:0", "--upstream",
                                  f"http://127.0.0.1:{mock_port}", "--durability", args.durability],
                                 stdout=subprocess.PIPE, text=True)
        port = next(m["listening_port"] for m in map(json.loads, proxy.stdout) if "listening_port" in m)

        def run(at, **keys):
            words = [f"{k}={v}" for k, v in keys.items()]
            done = subprocess.run([*first, load, "run", str(at), *words], capture_output=True, text=True)
            result = json.loads(done.stdout.splitlines()[-1])
            if done.returncode != 0:
                sys.exit(f"answers were wrong or missing: {result}")
            return result

        try:
            sides = {"direct": mock_port, "proxy": port}
            results = {name: [] for name in sides}
            for _ in range(args.runs):
                for name, at in sides.items():
                    results[name].append(run(at, rate=args.rate, streams=args.streams, seconds=args.seconds))
                    print(json.dumps({"side": name, **results[name][-1]}), flush=True)
            for what in ("first_byte", "chunk_delay"):
                if what == "chunk_delay" and not args.streams:
                    continue
                for q in ("p50_us", "p99_us"):
                    direct, through = (statistics.median(r[what][q] for r in results[name]) for name in ("direct", "proxy"))
                    print(f"{what:12} {q[:-3]}: direct {direct:8.0f} us, proxy {through:8.0f} us, added {through - direct:8.0f} us")
            if args.soak:
                print(f"memory after the load: {memory_mb(proxy.pid):.0f} MB")
                result = run(port, rate=50, streams=0, seconds=5, connections=10000, stall=1)
                print(f"with {result['n_connections']} connections and a stalled client: {memory_mb(proxy.pid):.0f} MB, {result['n_bad']} bad")
                done = subprocess.run([load, "bulk", str(port), "1000000000"], capture_output=True, text=True, check=True)
                print(f"1 GB passed ({json.loads(done.stdout)['mb_per_s']} MB/s): {memory_mb(proxy.pid):.0f} MB, "
                      f"at most {memory_mb(proxy.pid, 'VmHWM'):.0f} MB")
        finally:
            proxy.send_signal(signal.SIGTERM)
            out, _ = proxy.communicate(timeout=60)
            mock.kill()
            mock.wait()
        print(out.splitlines()[-1])


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The recording proxy while its store takes nothing: no space, a lock; while the clock jumps; on a read-only disk.

Use: scripts/faults/proxy_faults.py SLMCONV PROXY_LOAD [--rounds N] [--calls N]

For each of --on-store-failure open, spool, closed and --durability fast, durable: calls before the fault, during it and
after it. Every answer that comes whole is the upstream's byte for byte.
- open: every client has its answer; stored + missed = all of them.
- spool: every client has its answer, and every call is in the store in the end, none twice.
- closed: a client has its answer or a 503; every call answered is in the store; afterwards all are answered again.
In `durable` every call whose last byte was sent is in the store in the end, but for what `open` counted as missed.
A clock that jumps 400 days ahead and behind changes nothing; on a read-only file system it doesn't start (41).
After each: SIGTERM ends it with exit code 0, the store verifies, and the metrics show that the fault was met. On small
file systems of its own (passed over where neither root nor user namespaces are to be had). Exit code 0: all held.
"""
import argparse
import collections
import concurrent.futures
import fcntl
import http.client
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from surroundings import FULL, build_clock

N_CLIENTS, DAY_S = 4, 86400


def answer_to(text):
    return json.dumps({"id": "a", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": "to " + text}}]}).encode()


class Upstream(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = answer_to(request["messages"][0]["content"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def fail(why):
    sys.exit(f"proxy_faults: {why}")


class Fault:
    """Something that is wrong from begin() to end()."""

    def __init__(self, name, store, disk):
        self.name, self.store, self.disk = name, store, disk

    def begin(self):
        if self.name == "full":
            (self.disk / "ballast").write_bytes(bytes(shutil.disk_usage(self.disk).free))
        elif self.name == "locked":
            self.held = open(self.store / "store.lock", "r+b")
            fcntl.flock(self.held, fcntl.LOCK_EX)
        elif self.name == "clock":
            (self.disk / "shift").write_text(str(400 * DAY_S))

    def end(self):
        if self.name == "full":
            (self.disk / "ballast").unlink()
        elif self.name == "locked":
            self.held.close()
        elif self.name == "clock":
            (self.disk / "shift").write_text(str(-400 * DAY_S))


class Proxy:
    def __init__(self, program, store, keys, upstream, policy, durability, env):
        self.env = dict(os.environ, SLMCONV_LOCK_WAIT_MS="100", XDG_STATE_HOME=str(keys.parent / "state"), **env)
        self.process = subprocess.Popen(
            [program, "--json", "--store", store, "--identity", keys, "collect", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
             "--upstream", upstream, "--durability", durability, "--on-store-failure", policy, "--spool-mb", "2"],
            stdout=subprocess.PIPE, text=True, env=self.env)
        for line in self.process.stdout:
            message = json.loads(line)
            if "listening_port" in message:
                self.port, self.admin = message["listening_port"], message["admin_port"]
                return
        fail("the proxy didn't start")

    def metric(self, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=30)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        return int(re.search(rf"^slmconv_{name} (\d+)$", text, re.M)[1])

    def call(self, text):
        """200 with the upstream's bytes, 503 with a reason, or the connection's end."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(
                {"model": "m", "messages": [{"role": "user", "content": text}]}), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException):
            return 0
        finally:
            connection.close()
        if answer.status == 200 and body != answer_to(text):
            fail("an answer isn't the upstream's")
        if answer.status == 503 and not body.strip():
            fail("a request is turned away without a reason")
        return answer.status

    def calls(self, name, n):
        texts = [f"{name} {i}" for i in range(n)]
        with concurrent.futures.ThreadPoolExecutor(N_CLIENTS) as pool:
            return dict(zip(texts, pool.map(self.call, texts)))

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        rest = self.process.communicate(timeout=120)[0]
        return self.process.returncode, json.loads(rest.strip().splitlines()[-1])


class Trial:
    def __init__(self, args, place):
        self.args, self.place = args, place
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
        self.server.handle_error = lambda *_: None
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.upstream = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.n = self.n_answered = self.n_refused = 0

    def stored(self, store, keys):
        out = subprocess.run([self.args.load, "stored", store, keys], capture_output=True, text=True, check=True).stdout
        return collections.Counter(out.splitlines())

    def run(self, fault_name, policy, durability, disk, env=None):
        what = f"{fault_name}, {policy}, {durability}"
        self.n += 1
        store, keys = disk / f"store{self.n}", self.place / f"keys{self.n}"
        subprocess.run([self.args.program, "init", store, "--keys", keys], check=True, stdout=subprocess.DEVNULL)
        proxy = Proxy(self.args.program, store, keys, self.upstream, policy, durability, env or {})
        fault = Fault(fault_name, store, disk)
        stops_store = fault_name != "clock"
        n = self.args.calls
        results = proxy.calls("before", n)
        if set(results.values()) != {200}:
            fail(f"{what}: {collections.Counter(results.values())} before anything was wrong")
        time.sleep(0.3)  # `fast` has committed them
        if proxy.metric("calls_stored_total") != n:
            fail(f"{what}: {proxy.metric('calls_stored_total')} of {n} calls stored before anything was wrong")
        fault.begin()
        # Long enough for the store's refusal to be seen: then what the policy says holds for new requests.
        during = proxy.calls("during", n)
        for _ in range(100):
            if not stops_store or proxy.metric("commit_errors_total") > 0:
                break
            time.sleep(0.1)
        else:
            fail(f"{what}: the fault wasn't met")
        later = proxy.calls("later", n)
        fault.end()
        for _ in range(200):
            if proxy.metric("store_failing") == 0 and proxy.metric("calls_waiting") == 0:
                break
            time.sleep(0.1)
        after = proxy.calls("after", n)
        counts = collections.Counter(during.values()) + collections.Counter(later.values())
        if policy in ("open", "spool") and set(counts) != {200}:
            fail(f"{what}: {dict(counts)} during the fault")
        if policy == "closed" and stops_store and 503 not in later.values():
            fail(f"{what}: {dict(counts)} during the fault: none was turned away")
        if not stops_store and set(counts) != {200}:
            fail(f"{what}: {dict(counts)} during the fault")
        if set(after.values()) != {200}:
            fail(f"{what}: {collections.Counter(after.values())} after the fault")
        code, summary = proxy.end()
        if code != 0:
            fail(f"{what}: exit code {code}: {summary}")
        results.update(during)
        results.update(later)
        results.update(after)
        answered = {text for text, status in results.items() if status == 200}
        stored = self.stored(store, keys)
        missed = summary["dropped"].get("missed", 0)
        if max(stored.values()) > 1:
            fail(f"{what}: calls are stored twice")
        lost = answered - set(stored)
        if len(lost) > (missed if policy == "open" else 0):
            fail(f"{what}: {len(lost)} calls lost, {missed} counted as missed")
        if policy == "open" and len(stored) + missed != len(results):
            fail(f"{what}: {len(stored)} stored, {missed} missed of {len(results)}")
        if not stops_store and len(stored) != len(results):
            fail(f"{what}: {len(stored)} of {len(results)} calls stored")
        if policy == "spool" and stops_store and summary["n_spooled"] == 0:
            fail(f"{what}: nothing was spooled")
        verified = subprocess.run([self.args.program, "--store", store, "store", "verify"], capture_output=True, text=True)
        if verified.returncode != 0:
            fail(f"{what}: store verify: {verified.returncode} {verified.stderr}")
        self.n_answered += len(answered)
        self.n_refused += len(results) - len(answered)
        shutil.rmtree(store)


    def read_only(self, disk):
        """It doesn't start: what it passed couldn't be recorded."""
        store, keys = disk / "ro", self.place / "rokeys"
        subprocess.run([self.args.program, "init", store, "--keys", keys], check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for policy in ("open", "spool", "closed"):
            done = subprocess.run([self.args.program, "--json", "--store", store, "--identity", keys, "collect", "--listen", "127.0.0.1:0",
                                   "--upstream", self.upstream, "--on-store-failure", policy], capture_output=True, text=True, timeout=60)
            if done.returncode != FULL or str(store) not in done.stdout:
                fail(f"read-only, {policy}: exit code {done.returncode}: {done.stdout[-300:]}")
            self.n += 1


def in_place(args, place, disk, faults, env=None, trial=None):
    trial = trial or Trial(args, place)
    for _ in range(args.rounds):
        for fault in faults:
            for policy in ("open", "spool", "closed"):
                for durability in ("fast", "durable"):
                    trial.run(fault, policy, durability, disk, env)
    return trial


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("load", type=os.path.abspath)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--calls", type=int, default=12)
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        place = pathlib.Path(args.inside)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "none", place / "disk"], check=True)
        trial = in_place(args, place, place / "disk", ["full"])
        trial.read_only(place / "disk")
        print(trial.n, trial.n_answered, trial.n_refused)
        return
    passed_over = ""
    with tempfile.TemporaryDirectory(prefix="slmconv-proxy-faults-") as folder:
        work = pathlib.Path(folder)
        trial = in_place(args, work, work, ["locked"])
        shifted = build_clock(work)
        if shifted is None:
            passed_over += "; passed over: the clock: no C compiler"
        else:
            shifted["CLOCK_SHIFT_FILE"] = str(work / "shift")
            (work / "shift").write_text(str(400 * DAY_S))
            told = subprocess.run(["date", "+%s"], env={**os.environ, **shifted}, capture_output=True, text=True, check=True).stdout
            if abs(float(told) - time.time() - 400 * DAY_S) > 60:
                fail("the clock doesn't jump")
            trial = in_place(args, work, work, ["clock"], shifted, trial)
        figures = [trial.n, trial.n_answered, trial.n_refused]
        inside = work / "inside"
        (inside / "disk").mkdir(parents=True)
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        probe = [*unshare, "mount", "-t", "tmpfs", "-o", "size=1m", "none", str(inside / "disk")]
        if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True).returncode != 0:
            passed_over += "; passed over: a small disk: no mount namespaces here"
        else:
            done = subprocess.run([*unshare, sys.executable, os.path.abspath(__file__), args.program, args.load, "--rounds", str(args.rounds),
                                   "--calls", str(args.calls), "--inside", str(inside)], capture_output=True, text=True)
            if done.returncode != 0:
                sys.exit(done.stdout + done.stderr)
            figures = [a + int(b) for a, b in zip(figures, done.stdout.split())]
    print(f"{figures[0]} trials: {figures[1]} calls answered, {figures[2]} turned away, none lost or twice{passed_over}")


if __name__ == "__main__":
    main()

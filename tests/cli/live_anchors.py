#!/usr/bin/env python3
"""collect --listen and --otlp put the trail's signed heads off the host while they run.

Use: live_anchors.py SLMCONV PROXY_LOAD
The heads fit the store, the last one names its end, and a copy of the store from before is told by them. Where they
can't be put, that is warned of and counted, and calls are taken all the same.
"""
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import live
from proxy_kill import free_port


def ended(process):
    process.send_signal(signal.SIGTERM)
    out = process.communicate(timeout=60)[0]
    return process.returncode, [json.loads(line) for line in out.splitlines()]


def want(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found}, not {wanted}")


def main():
    slmconv, load = sys.argv[1:3]
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        common = live.new_store(slmconv, work)
        heads, away = work / "other/heads", work / "away"
        (work / "other").mkdir()
        mock_port = free_port()
        mock = subprocess.Popen([load, "mock", str(mock_port)])
        listen = [*common, "collect", "--listen", "127.0.0.1:0", "--upstream", f"http://127.0.0.1:{mock_port}", "--anchor-every", "0.1"]

        def verify(store, code):
            done = subprocess.run([slmconv, "--json", "--store", str(store), "store", "verify", "--anchor", str(heads)], capture_output=True, text=True)
            want("store verify with the heads", done.returncode, code)
            return json.loads(done.stdout.splitlines()[-1])

        def calls(port, name):
            subprocess.run([load, "count", str(port), str(work / name), "seconds=1"], check=True, stdout=subprocess.DEVNULL)
            return len((work / name).read_text().split())

        try:
            # At once, while calls come, and at the end.
            proxy, port = live.start([*listen, "--anchor", str(heads)])
            n = calls(port, "first")
            if len(heads.read_text().splitlines()) < 5:
                sys.exit("heads didn't come while calls did")
            code, told = ended(proxy)
            want("exit code", code, 0)
            want("heads told", told[-1]["n_anchors"], len(heads.read_text().splitlines()))
            counters = [json.loads(line)["counter"] for line in heads.read_text().splitlines()]
            want("heads in order", counters, sorted(counters))
            report = verify(work / "store", 0)
            want("the newest head is the store's end", report["anchored_entry"], counters[-1])
            shutil.copytree(work / "store", work / "before")

            # They can't be put: calls go on, and so do heads once they can.
            os.rename(work / "other", away)
            proxy, port = live.start([*listen, "--anchor", str(heads)])
            n += calls(port, "second")
            os.rename(away, work / "other")
            time.sleep(0.3)
            code, told = ended(proxy)
            want("exit code", code, 0)
            want("heads that failed", told[-1]["n_anchors_failed"] > 3 and told[-1]["n_anchors"] > 0, True)
            want("warnings", sum(line["message_type"] == "warning" for line in told), 1)
            verify(work / "store", 0)
            verify(work / "before", 14)

            # The last one failed: said so, after the calls were stored.
            proxy, port = live.start([*listen, "--anchor-command", "exit 3"])
            n += calls(port, "third")
            code, told = ended(proxy)
            want("exit code", code, 41)
            want("stored all the same", told[-1]["n_out"] > 0, True)
            if len(live.stored(load, work).split()) < n:
                sys.exit("calls are missing")

            receiver, _ = live.start([*common, "collect", "--otlp", "127.0.0.1:0", "--anchor-command", f"cat >> {heads}"])
            code, told = ended(receiver)
            want("exit code", code, 0)
            want("heads of the receiver", told[-1]["n_anchors"], 2)
            verify(work / "store", 0)
        finally:
            mock.kill()
            mock.wait()
        print(f"{n} calls, {len(heads.read_text().splitlines())} heads")


if __name__ == "__main__":
    main()

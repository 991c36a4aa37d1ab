#!/usr/bin/env python3
"""collect --otlp as a process: recorded protobuf in, calls in the store, SIGTERM ends it with exit code 0.

Use: otlp_receiver.py PROGRAM SOURCE_DIR
"""
import gzip
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

program, source = sys.argv[1], pathlib.Path(sys.argv[2])


def post(port, path, body, **headers):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=body, method="POST")
    request.add_header("Content-Type", "application/x-protobuf")
    for name, value in headers.items():
        request.add_header(name.replace("_", "-"), value)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


with tempfile.TemporaryDirectory() as work:
    store, keys = f"{work}/store", f"{work}/keys"
    subprocess.run([program, "init", store, "--keys", keys], check=True, stdout=subprocess.DEVNULL)
    base = [program, "--store", store, "--identity", keys, "--json"]
    bad = subprocess.run(base + ["collect", "--otlp", "127.0.0.1:0", "log.jsonl"], stdout=subprocess.PIPE)
    assert bad.returncode == 2, bad
    bad = subprocess.run(base + ["collect", "--otlp", "0.0.0.0:0"], stdout=subprocess.PIPE)
    assert bad.returncode == 2, bad

    server = subprocess.Popen(base + ["collect", "--otlp", "127.0.0.1:0"], stdout=subprocess.PIPE, text=True)
    try:
        port = None
        while port is None:
            line = server.stdout.readline()
            assert line, "ended before it listened"
            port = json.loads(line).get("listening_port")
        for file in sorted((source / "tests/data/otlp").glob("*.pb")):
            path = "/v1/logs" if ".logs." in file.name else "/v1/traces"
            assert post(port, path, file.read_bytes()) == 200, file
        assert post(port, "/v1/traces", gzip.compress((source / "tests/data/otlp/2.traces.pb").read_bytes()), Content_Encoding="gzip") == 200
        assert post(port, "/v1/traces", b"\xff") == 400
        assert post(port, "/v1/metrics", b"") == 404
    finally:
        server.send_signal(signal.SIGTERM)
        rest = server.communicate(timeout=60)[0]
    summary = json.loads(rest.strip().splitlines()[-1])
    assert server.returncode == 0, (server.returncode, summary)
    assert summary["n_out"] == 8 and summary["n_refused"] == 2 and summary["dropped"]["repeated_span"] == 1, summary
    assert summary["n_in"] == summary["n_out"] + sum(summary["dropped"].values()), summary

    # The same spans as a file: every call is known.
    again = subprocess.run(base + ["collect", str(source / "tests/data/call/otlp.jsonl")], stdout=subprocess.PIPE, text=True)
    assert again.returncode == 0, again
    known = json.loads(again.stdout.strip().splitlines()[-1])
    assert known["n_out"] == 0 and known["dropped"]["already_stored"] == 8, known
    for file in pathlib.Path(store).rglob("*"):
        if file.is_file():
            data = file.read_bytes()
            for planted in (b"orla.brandt", b"sk-planted", b"Lindhaven", b"Storm damage"):
                assert planted not in data, (file, planted)
print("otlp receiver: 8 calls stored, the same as from a file")

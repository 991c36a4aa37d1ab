#!/usr/bin/env python3
"""Text planted in calls, credentials and key files is in no file that slmconv writes.

Use: scripts/faults/canaries.py SLMCONV PROXY_LOAD

Planted: a stem that nobody else has, in every message, tool call, name, address, header, token and passphrase; a
telephone number; the private halves of the key files. Searched for: in plain, reversed, in UTF-16, hexadecimal and
base64 at each of its three places, in every file that the program writes through all of its commands that need no
model (stores, their logs, spools, bundles, backups, what it prints), after each command and, while a log is imported
and a proxy and a receiver take calls, again and again, files that were deleted and are still open included. Left out:
the logs that are its input, and a key file's own private half.

That the search finds is tried on a file with each coding; that the calls went in, by reading them back.
Exits 0 and says how much was searched, or 1 and says what kind of canary is in which file.
"""
import argparse
import base64
import ctypes
import fcntl
import gzip
import http.client
import http.server
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time

STEM = "Q" + secrets.token_hex(9)  # 19 characters: base64 at any place holds 24 of its own
NUMBER = "9" + "".join(secrets.choice("123456789") for _ in range(9))  # no coding of its spaces and signs matters
PHONE = "+49 30 " + NUMBER


def plant(what):
    return f"{STEM}{what}"


def codings(text):
    """Names and bytes. What can't be told from the text's surroundings is cut off: base64 by place, at both ends."""
    raw = text if isinstance(text, bytes) else text.encode()
    out = {"plain": raw, "reversed": raw[::-1], "UTF-16": bytes(raw[i // 2] if i % 2 == 0 else 0 for i in range(2 * len(raw))), "hexadecimal": raw.hex().encode(),
           "HEXADECIMAL": raw.hex().upper().encode()}
    for place in range(3):
        coded = base64.b64encode(b"\0" * place + raw + b"\0\0")
        inner = coded[(8 * place + 5) // 6:(8 * (place + len(raw))) // 6]
        out[f"base64 at {place}"] = inner
        out[f"base64url at {place}"] = inner.replace(b"+", b"-").replace(b"/", b"_")
    return out


class Search:
    def __init__(self, root):
        self.root, self.seen, self.patterns = root, {}, {}
        self.n_files = self.n_bytes = 0
        self.lock = threading.Lock()
        self.running = None  # the process to end with a find
        for kind, text in (("planted text", STEM), ("planted text in small letters", STEM.lower()), ("telephone number", NUMBER)):
            self.add(kind, text)

    def add(self, kind, text):
        for coding, pattern in codings(text).items():
            self.patterns.setdefault(pattern, (kind, coding))

    def add_private_keys(self, folder):
        for path in folder.glob("*.key"):
            secret = re.search(r"^secret (\S{16,})", path.read_text(), re.M)
            if secret is None:
                sys.exit(f"{path.name}: no private half in it")
            raw = bytes.fromhex(secret[1])
            for half in (raw[:32], raw[32:64]):
                if len(half) == 32:
                    kind = f"private key of {path.stem}"
                    for coding, pattern in codings(half).items():
                        self.patterns.setdefault(pattern, (kind, coding))
        self.seen.clear()  # what was searched before may hold these

    def found_in(self, data):
        return [name for pattern, name in self.patterns.items() if pattern in data]

    def look_at(self, path, shown):
        try:
            data = path.read_bytes()
        except OSError:
            return
        self.n_files += 1
        self.n_bytes += len(data)
        for kind, coding in self.found_in(data):
            if path.suffix == ".key" and kind == f"private key of {path.stem}":
                continue
            sys.stderr.write(f"canaries: {kind} ({coding}) is in {shown}\n")
            if self.running is not None:
                self.running.kill()
            os._exit(1)

    def everything(self):
        """What changed since the last time."""
        with self.lock:
            for path in self.root.rglob("*"):
                try:
                    info = path.lstat()
                except OSError:
                    continue
                state = (info.st_ino, info.st_size, info.st_mtime_ns)
                # A mapped file changes without a new time.
                if not path.is_file() or (self.seen.get(path) == state and path.suffix not in (".marks", ".db-shm")):
                    continue
                self.seen[path] = state
                self.look_at(path, path.relative_to(self.root))

    def open_files(self, pid):
        with self.lock:
            for link in pathlib.Path(f"/proc/{pid}/fd").glob("*"):
                try:
                    target = os.readlink(link)
                except OSError:
                    continue
                if target.endswith(" (deleted)") and target.startswith(str(self.root)):
                    self.look_at(link, f"a deleted file of the process: {target}")

    def try_it(self, folder):
        """Each pattern, in a file, is found."""
        for pattern, name in self.patterns.items():
            (folder / "try").write_bytes(os.urandom(1000) + pattern + os.urandom(1000))
            if name not in self.found_in((folder / "try").read_bytes()):
                sys.exit(f"the search itself misses {name}")
        for place in range(3):  # and as a file would have it, at any place
            for text in (STEM, NUMBER):
                if not self.found_in(base64.b64encode(os.urandom(99 + place) + text.encode() + os.urandom(50))):
                    sys.exit("the search itself misses base64")


# --- what is planted

def chat_request(i, stream=False):
    return {"model": "m", "stream": stream, "user": plant(f"user{i % 3}"), "messages": [
        {"role": "system", "content": plant("system") + " You file reports."},
        {"role": "user", "content": f"{plant('message')} {i}: call {PHONE} or write to {plant('mail')}@example.org"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": {
            "name": "look_up", "arguments": json.dumps({"name": plant("argument")})}}]},
        {"role": "tool", "tool_call_id": "c1", "content": plant("result")}],
        "tools": [{"type": "function", "function": {"name": "look_up", "description": plant("tool"), "parameters": {
            "type": "object", "properties": {"name": {"type": "string"}}}}}]}


def chat_answer(i):
    return {"id": "a", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "finish_reason": "stop", "message": {
        "role": "assistant", "content": f"{plant('answer')} {i}"}}], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}


def chat_stream(i):
    for piece in (plant("an"), "swer", f" {i}"):
        yield "data: " + json.dumps({"id": "a", "object": "chat.completion.chunk", "model": "m", "choices": [
            {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None}]}) + "\n\n"
    yield "data: " + json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + "\n\ndata: [DONE]\n\n"


def span_batch(i):
    def text(value):
        return {"stringValue": value}
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "m", "enduser.id": plant("user"),
                  "http.request.header.authorization": f"Bearer {plant('bearer')}",
                  "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": plant("message") + f" {i}"}]}]),
                  "gen_ai.output.messages": json.dumps([{"role": "assistant", "finish_reason": "stop",
                                                         "parts": [{"type": "text", "content": plant("answer")}]}])}
    return {"resourceSpans": [{"resource": {"attributes": [{"key": "service.name", "value": text(plant("service"))}]},
                               "scopeSpans": [{"spans": [{
                                   "traceId": secrets.token_hex(16), "spanId": secrets.token_hex(8), "name": plant("span"),
                                   "startTimeUnixNano": str(1_800_000_000_000_000_000 + i), "endTimeUnixNano": str(1_800_000_000_100_000_000 + i),
                                   "attributes": [{"key": k, "value": text(v)} for k, v in attributes.items()]}]}]}]}


def message(*fields):
    """A protobuf message of (number, value): text, bytes, or a number of 64 bits."""
    def varint(n):
        out = b""
        while n > 127:
            out += bytes([n & 127 | 128])
            n >>= 7
        return out + bytes([n])
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += varint(number << 3 | 1) + value.to_bytes(8, "little")
        else:
            value = value.encode() if isinstance(value, str) else value
            out += varint(number << 3 | 2) + varint(len(value)) + value
    return out


def as_protobuf(batch):
    """span_batch() as an ExportTraceServiceRequest (opentelemetry-proto, trace/v1/trace.proto)."""
    def attributes(number, items):
        return [(number, message((1, item["key"]), (2, message((1, item["value"]["stringValue"]))))) for item in items]
    out = []
    for resource in batch["resourceSpans"]:
        scopes = [(2, message(*[(2, message(
            (1, bytes.fromhex(span["traceId"])), (2, bytes.fromhex(span["spanId"])), (5, span["name"]),
            (7, int(span["startTimeUnixNano"])), (8, int(span["endTimeUnixNano"])), *attributes(9, span["attributes"])))
            for span in scope["spans"]])) for scope in resource["scopeSpans"]]
        out.append((1, message((1, message(*attributes(1, resource["resource"]["attributes"]))), *scopes)))
    return message(*out)


def zstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compressBound.restype = library.ZSTD_compress.restype = ctypes.c_size_t
    out = ctypes.create_string_buffer(library.ZSTD_compressBound(ctypes.c_size_t(len(data))))
    n = library.ZSTD_compress(out, ctypes.c_size_t(len(out)), data, ctypes.c_size_t(len(data)), 3)
    return out.raw[:n]


def write_logs(folder):
    """Logs of several dialects; the number of calls in them."""
    def chat(i):
        return {"session_id": plant("session"), "client_id": plant(f"source{i % 2}"), "request": chat_request(i), "response": chat_answer(i),
                "request_headers": {"Authorization": f"Bearer {plant('bearer')}", "x-api-key": plant("apikey")}}
    lines = [json.dumps(chat(i)) for i in range(30)]
    (folder / "chat.jsonl").write_text("\n".join(lines) + "\n")
    with gzip.open(folder / "chat.jsonl.gz", "wt") as out:
        out.write("\n".join(json.dumps(chat(i)) for i in range(30, 40)))
    (folder / "chat.jsonl.zst").write_bytes(zstd("\n".join(json.dumps(chat(i)) for i in range(40, 50)).encode()))
    (folder / "long.jsonl").write_text("".join(json.dumps(chat(i)) + "\n" for i in range(1000, 1300)))
    (folder / "transcript.jsonl").write_text(json.dumps({
        "timestamp": 1772438620, "session_id": plant("session"), "client_id": plant("source0"), "path": "/v1/chat/completions?api_key=" + plant("query"),
        "headers": {"authorization": plant("bearer")}, "request": chat_request(50, True), "response": "".join(chat_stream(50))}) + "\n")
    (folder / "anthropic.jsonl").write_text(json.dumps({
        "session_id": plant("session"), "client_id": plant("source0"), "request": {
            "model": "c", "max_tokens": 9, "system": plant("system"), "metadata": {"user_id": plant("user")}, "messages": [
                {"role": "user", "content": [{"type": "text", "text": plant("message") + " a"}]}]},
        "response": {"id": "m", "type": "message", "role": "assistant", "model": "c", "stop_reason": "end_turn",
                     "content": [{"type": "text", "text": plant("answer")}], "usage": {"input_tokens": 1, "output_tokens": 1}}}) + "\n")
    (folder / "spans.jsonl").write_text("\n".join(json.dumps(span_batch(i)) for i in range(5)))
    # Nothing of what can't be read may be repeated in a message.
    (folder / "bad.jsonl").write_text("\n".join([
        json.dumps(chat(60)), lines[0][:200], plant("notjson"), json.dumps({plant("key"): plant("value")}),
        json.dumps({"messages": [{"role": plant("role"), "content": plant("content")}]}),
        json.dumps({"request": plant("request"), "response": {"choices": plant("choices")}})]) + "\n")


class Upstream(http.server.BaseHTTPRequestHandler):
    """Answers as a provider; the path says how."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        how = self.headers.get("X-How", "")
        i = int(self.headers.get("X-Number", "0"))
        status, data, more = 200, json.dumps(chat_answer(i)).encode(), {"Set-Cookie": plant("setcookie")}
        if how == "gone":
            self.connection.close()
            return
        if how == "error":
            status, data = 500, json.dumps({"error": {"message": plant("error"), "type": "server_error"}}).encode()
        if how == "gzip":
            data, more = gzip.compress(data), {"Content-Encoding": "gzip"}
        if how == "badgzip":
            more = {"Content-Encoding": "gzip"}
        if b'"stream": true' in body and not how:
            data = "".join(chat_stream(i)).encode()
            more = {"Content-Type": "text/event-stream"}
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(data)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)


class Run:
    def __init__(self, program, work):
        self.program, self.work = program, work
        self.made = work / "made"  # whatever the program writes
        self.inputs = work / "inputs"
        for folder in (self.made, self.inputs, self.made / "tmp", self.made / "home", self.made / "out"):
            folder.mkdir(parents=True)
        self.env = dict(os.environ, TMPDIR=str(self.made / "tmp"), HOME=str(self.made / "home"), OMP_NUM_THREADS="1",
                        XDG_STATE_HOME=str(self.made / "home/state"), XDG_CONFIG_HOME=str(self.made / "home/config"),
                        SLMCONV_LOCK_WAIT_MS="200")
        (self.inputs / "passphrase").write_text(plant("passphrase") + "\n")
        self.search = Search(self.made)
        self.n_steps = 0

    def output(self):
        self.n_steps += 1
        return self.made / "out" / f"{self.n_steps:03}"

    def call(self, *args, codes=(0,), env=None, plain=False):
        """Its last line, after everything was searched."""
        out = self.output()
        with open(f"{out}.out", "wb") as stdout, open(f"{out}.err", "wb") as stderr:
            done = subprocess.run([self.program, *([] if plain else ["--json"]), *map(str, args)], stdout=stdout, stderr=stderr,
                                  cwd=self.made, env={**self.env, **(env or {})})
        self.search.everything()
        if done.returncode not in codes:
            sys.exit(f"{args}: exit code {done.returncode}\n" + pathlib.Path(f"{out}.out").read_text()[-500:])
        lines = pathlib.Path(f"{out}.out").read_text().splitlines()
        return json.loads(lines[-1]) if lines and not plain else {}

    def watched(self, *args, use):
        """`use(process, its output)` while it runs and everything is searched again and again; then its last line."""
        out = self.output()
        with open(f"{out}.out", "wb") as stdout, open(f"{out}.err", "wb") as stderr:
            process = subprocess.Popen([self.program, "--json", *map(str, args)], stdin=subprocess.PIPE, stdout=stdout, stderr=stderr,
                                       cwd=self.made, env=self.env)
        told = pathlib.Path(f"{out}.out")
        self.search.running = process
        ended = threading.Event()

        def watch():
            while not ended.wait(0.02):
                self.search.everything()
                self.search.open_files(process.pid)
        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            use(process, told)
            process.wait(60)
        finally:
            process.kill()
            ended.set()
            watcher.join()
        self.search.everything()
        if process.returncode != 0:
            sys.exit(f"{args}: exit code {process.returncode}\n" + told.read_text()[-500:])
        return json.loads(told.read_text().splitlines()[-1])

    def serve(self, *args, use):
        """`use(port, admin port, process)` of one that listens, until it is asked to end."""
        def listening(process, told):
            ports = {}
            while "listening_port" not in ports:
                if process.poll() is not None:
                    sys.exit(f"{args}: ended before it listened\n" + told.read_text()[-500:])
                time.sleep(0.02)
                for line in told.read_text().splitlines(True):
                    if line.endswith("\n") and "listening_port" in line:
                        ports = json.loads(line)
            use(ports["listening_port"], ports.get("admin_port"), process)
            process.send_signal(signal.SIGTERM)
        return self.watched(*args, use=listening)

    def post(self, port, path, body, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            connection.request("POST", path, body if isinstance(body, bytes) else json.dumps(body), {
                "Content-Type": "application/json", "Authorization": f"Bearer {plant('bearer')}", "x-api-key": plant("apikey"),
                "Cookie": f"id={plant('cookie')}", **{k.replace("_", "-"): v for k, v in headers.items()}})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def calls(self, port, first, n):
        for i in range(first, first + n):
            status, body = self.post(port, "/v1/chat/completions?api_key=" + plant("query"), chat_request(i, i % 2 == 0),
                                     X_Number=str(i), X_Session=plant("session"))
            if status != 200 or STEM.encode() not in body:
                sys.exit(f"call {i} got {status} through the proxy")


def live(run, use):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Upstream)
    server.handle_error = lambda *_: None  # a connection that the proxy closed
    threading.Thread(target=server.serve_forever, daemon=True).start()
    proxy = (*use, "collect", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--session-header", "X-Session",
             "--source-header", "Cookie", "--upstream", f"http://127.0.0.1:{server.server_address[1]}")

    def fast(port, admin, _):
        run.calls(port, 100, 20)
        for how in ("error", "gone", "gzip", "badgzip"):
            run.post(port, "/v1/chat/completions", chat_request(1), X_How=how)
        run.post(port, "/v1/embeddings", {"model": "e", "input": plant("embedded")})
        run.post(port, "/" + plant("path") + "?key=" + plant("query"), plant("elsewhere").encode())
        run.post(port, "/v1/chat/completions", plant("rubbish").encode())
        run.post(port, "/v1/chat/completions", chat_request(2), Transfer_Encoding="chunked", Content_Length="3")
        connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=30)
        connection.request("GET", "/metrics")
        (run.made / "out" / "metrics").write_bytes(connection.getresponse().read())
    run.serve(*proxy, use=fast)

    def spooled(port, _, process):
        with open(run.made / "store/store.lock", "r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            run.calls(port, 200, 10)
            spool = run.made / "store/collector/00.spool"
            if not any(spool.read_bytes()[8:12]):
                sys.exit("nothing lies in the spool")
            run.search.everything()
            fcntl.flock(lock, fcntl.LOCK_UN)
        time.sleep(1)
    run.serve(*proxy, "--durability", "durable", "--on-store-failure", "spool", "--spool-mb", "1", use=spooled)
    server.shutdown()

    (run.inputs / "tokens").write_text(plant("token") + "\n")

    def spans(port, _, process):
        for i in range(20):
            batch = span_batch(100 + i)
            status, _body = run.post(port, "/v1/traces", *((batch,) if i % 2 else (as_protobuf(batch),)),
                                     Authorization="Bearer " + plant("token"),
                                     Content_Type="application/json" if i % 2 else "application/x-protobuf")
            if status != 200:
                sys.exit(f"the receiver answered {status}")
        run.post(port, "/v1/traces", span_batch(1), Authorization="Bearer " + plant("wrong"))
        run.post(port, "/v1/traces", plant("rubbish").encode(), Authorization="Bearer " + plant("token"))
        run.search.everything()
    for durability in (("--durability", "durable", "--spool-mb", "1"), ("--durability", "fast")):
        told = run.serve(*use, "collect", "--otlp", "127.0.0.1:0", "--otlp-hold", "1", *durability,
                         "--token-file", run.inputs / "tokens", use=spans)
        if told["n_out"] != 20:
            sys.exit(f"{told['n_out']} of 20 spans were stored")

    def import_slowly(process, _):
        for line in (run.inputs / "long.jsonl").read_bytes().splitlines(True):
            process.stdin.write(line)
            process.stdin.flush()
            time.sleep(0.005)
        process.stdin.close()
    if run.watched(*use, "collect", "-", "--batch-calls", "10", use=import_slowly)["n_out"] != 300:
        sys.exit("the long log wasn't stored")


def whole_life(run, load):
    store, keys = run.made / "store", run.made / "keys"
    use = ("--store", store, "--identity", keys)
    admin = run.call("init", store, "--keys", keys)["admin"]
    run.search.add_private_keys(keys)
    run.search.try_it(run.inputs)
    write_logs(run.inputs)
    logs = [run.inputs / name for name in ("chat.jsonl", "chat.jsonl.gz", "chat.jsonl.zst", "transcript.jsonl", "anthropic.jsonl", "spans.jsonl")]
    run.call("collect", "--dry-run", *logs, plain=True)
    run.call(*use, "collect", *logs, "--batch-calls", 7)
    run.call(*use, "collect", run.inputs / "bad.jsonl", "--max-skipped", 1)
    run.call(*use, "collect", run.inputs / "bad.jsonl", plain=True, codes=(0, 3))
    live(run, use)
    run.call(*use, "scrub", "--keep-duplicates")

    # Whether all of it was there to be found.
    read = subprocess.run([load, "bodies", store, keys], capture_output=True, text=True, check=True, env=run.env).stdout
    n_stored = len(read.splitlines())
    for text, n in ((plant("message"), 425), (plant("system"), 380), (plant("answer"), 425), (plant("argument"), 380), (plant("result"), 380),
                    (plant("tool"), 380), (plant("mail"), 380), (NUMBER, 380), (plant("embedded"), 1)):
        found = sum(text in line for line in read.splitlines())
        if found < n:
            sys.exit(f"{found} of {n} calls were stored with what was planted as {text.removeprefix(STEM)}")

    second = run.call(*use, "keys", "grant", "collector", "--out", run.made / "keys/second.key")["fingerprint"]
    with_passphrase = {"SLMCONV_PASSPHRASE_FILE": str(run.inputs / "passphrase")}
    run.call(*use, "keys", "grant", "curator", "--out", run.made / "keys2.key", "--passphrase", env=with_passphrase)
    run.call(*use, "keys", "request", "curator", "--out", run.made / "asked.key", "--to", run.made / "request", env=with_passphrase)
    run.search.add_private_keys(keys)  # the second one's too
    run.call(*use, "store", "bundle", "--new-store", "--out", run.made / "bundle")
    run.call("init", run.made / "away", "--join", run.made / "bundle", "--admin", admin)
    run.call("--store", run.made / "away", "--identity", keys / "second.key", "collect", run.inputs / "chat.jsonl.gz")
    run.call(*use, "store", "merge", run.made / "away")
    run.call(*use, "keys", "rotate", "all")
    run.call(*use, "keys", "rewrap")
    run.call(*use, "store", "bundle", "--out", run.made / "bundle2")
    run.call("--store", run.made / "away", "--identity", keys / "second.key", "store", "update", run.made / "bundle2")
    run.call(*use, "store", "anchor", "--to", run.made / "anchors")
    backup = run.call(*use, "store", "backup", run.made / "logs", "--keys-to", run.made / "keybackups")
    run.call("store", "restore", run.made / "again", "--from", backup["log"], "--keys-from", backup["keys"])
    run.call(*use, "store", "erase", "--source", plant("source0"), "--dry-run", plain=True)
    erased = run.call(*use, "store", "erase", "--source", plant("source0"))
    if not erased["changed"]:
        sys.exit("nothing of that source was stored")
    run.call(*use, "keys", "revoke", second)
    run.call(*use, "keys", "recover", "collector", "--recovery", keys / "recovery.key", "--out", run.made / "keys/third.key")
    run.call(*use, "store", "retain", "--raw-days", 0)
    run.call(*use, "store", "compact")
    run.call(*use, "store", "info", plain=True)
    run.call(*use, "keys", "list", plain=True)
    run.call(*use, "store", "verify", "--admin", admin, "--anchor", run.made / "anchors")
    run.call(*use, "audit", "show", plain=True)
    run.call(*use, "audit", "export", "--out", run.made / "trail.jsonl")
    # What goes wrong is told without the text, too.
    run.call("--store", store, "--identity", run.made / "asked.key", "scrub", codes=(2, 12))
    run.call(*use, "collect", run.inputs / "nothing", codes=(2, 10, 41))
    run.call("init", run.made / "guarded", "--keys", run.made / "guardedkeys", "--passphrase", env=with_passphrase)
    return n_stored


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=os.path.abspath)
    parser.add_argument("load", type=os.path.abspath)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slmconv-canaries-") as folder:
        run = Run(args.program, pathlib.Path(folder))
        n_stored = whole_life(run, args.load)
        print(f"{n_stored} calls stored, {run.n_steps} commands, {len(run.search.patterns)} patterns, {run.search.n_files} files "
              f"({run.search.n_bytes / 1e6:.0f} MB) searched: none of what was planted")


if __name__ == "__main__":
    main()

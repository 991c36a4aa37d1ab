#!/usr/bin/env python3
"""Kills the OTLP receiver under load again and again; no request that it acknowledged may be lost.

Use: otlp_kill.py SLMCONV PROXY_LOAD [KILLS]
The receiver runs in `durable`. Half of the calls have text of their own, the other half one text and one time for all:
equal calls of different spans, of which none may be taken for another. A third has its text in log records that come in
a request of their own. In the end every acknowledged call must be in the store, none twice, and the store must verify.
KILLS is 10 by default, 1000 in the long form. Exits 0, or 1 and says what is missing.
"""
import argparse
import collections
import http.client
import json
import pathlib
import random
import signal
import sys
import tempfile
import threading
import time

import live

N_CLIENTS, HOLD_S = 4, 0.4


def attributes(**values):
    return [{"key": key.replace("__", "."), "value": {"stringValue": value}} for key, value in values.items()]


def messages(role, text, **more):
    return json.dumps([{"role": role, "parts": [{"type": "text", "content": text}], **more}])


def span(trace, span_id, start_s, **values):
    return {"resourceSpans": [{"scopeSpans": [{"spans": [{
        "traceId": trace, "spanId": span_id, "name": "chat", "startTimeUnixNano": str(start_s * 10**9),
        "endTimeUnixNano": str(start_s * 10**9 + 10**8),
        "attributes": attributes(gen_ai__operation__name="chat", gen_ai__request__model="m", **values)}]}]}]}


def requests_of(rng, text, kind, start_s):
    """The requests that tell one call."""
    trace, span_id = f"{rng.getrandbits(128):032x}", f"{rng.getrandbits(64) | 1:016x}"
    if kind != 2:
        return [("/v1/traces", span(trace, span_id, start_s, gen_ai__input__messages=messages("user", text),
                                    gen_ai__output__messages=messages("assistant", "yes", finish_reason="stop")))]

    def record(name, body):
        return {"traceId": trace, "spanId": span_id, "timeUnixNano": str(start_s * 10**9), "eventName": name, "body": body}

    def value(**texts):
        return {"kvlistValue": {"values": [{"key": k, "value": v if isinstance(v, dict) else {"stringValue": v}}
                                           for k, v in texts.items()]}}
    logs = [record("gen_ai.user.message", value(content=text)),
            record("gen_ai.choice", value(finish_reason="stop", message=value(role="assistant", content="yes")))]
    return [("/v1/logs", {"resourceLogs": [{"scopeLogs": [{"logRecords": logs}]}]}),
            ("/v1/traces", span(trace, span_id, start_s))]


class Clients:
    """Send until the receiver is gone. What was begun and what was acknowledged, by text."""

    def __init__(self):
        self.sent, self.acked = collections.Counter(), collections.Counter()
        self.lock = threading.Lock()
        self.n = 0

    def run(self, port, seed):
        rng = random.Random(seed)
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            while True:
                with self.lock:
                    self.n += 1
                    n = self.n
                text = f"call {n}" if n % 2 else "the same for all"
                with self.lock:
                    self.sent[text] += 1
                for path, body in requests_of(rng, text, n % 3, 1_800_000_000):
                    connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status != 200:
                        return
                with self.lock:
                    self.acked[text] += 1
        except (OSError, http.client.HTTPException):
            return


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("slmconv")
    parser.add_argument("load")
    parser.add_argument("kills", nargs="?", type=int, default=10)
    args = parser.parse_args()
    rng = random.Random(1)
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        common = live.new_store(args.slmconv, work)
        command = [*common, "collect", "--otlp", "127.0.0.1:0", "--durability", "durable", "--spool-mb", "8", "--otlp-hold", str(HOLD_S)]
        clients = Clients()
        for kill in range(args.kills):
            receiver, port = live.start(command)
            threads = [threading.Thread(target=clients.run, args=(port, kill * N_CLIENTS + i)) for i in range(N_CLIENTS)]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.01, 3 * HOLD_S))
            receiver.send_signal(signal.SIGKILL)
            receiver.wait()
            for thread in threads:
                thread.join()
        live.end(live.start(command)[0], common)
        stored = collections.Counter(live.stored(args.load, work).splitlines())
        lost, twice = clients.acked - stored, stored - clients.sent
        print(f"{args.kills} kills: {clients.acked.total()} calls acknowledged ({clients.acked['the same for all']} equal ones), "
              f"{stored.total()} stored, {lost.total()} acknowledged and lost, {twice.total()} stored twice")
        if not clients.acked['the same for all'] or len(clients.acked) < 2:
            sys.exit("nothing was tried")
        if lost or twice:
            sys.exit("calls are lost or twice there")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""OTLP against OpenTelemetry's own code.

  otlp.py record            writes tests/data/otlp/*.pb: the records of tests/data/call/otlp.jsonl as protobuf, by the
                            classes of opentelemetry-proto
  otlp.py check             the same, compared with what lies there; exit 1 if a byte differs
  otlp.py export PROGRAM    starts `PROGRAM collect --otlp`, sends spans with opentelemetry-exporter-otlp-proto-http
                            (protobuf, plain and gzip) and checks what was stored
Needs scripts/interop/requirements-otlp.txt.
"""
import base64
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OUT = ROOT / "tests/data/otlp"


def with_binary_ids(value):
    """OTLP's JSON has ids in hexadecimal; protobuf's own JSON reader wants base64."""
    if isinstance(value, list):
        return [with_binary_ids(v) for v in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, inner in value.items():
        if key in ("traceId", "spanId", "parentSpanId"):
            out[key] = base64.b64encode(bytes.fromhex(inner)).decode()
        else:
            out[key] = with_binary_ids(inner)
    return out


def recorded():
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    for n, line in enumerate((ROOT / "tests/data/call/otlp.jsonl").read_text().splitlines()):
        record = json.loads(line)
        kind, message = ("traces", ExportTraceServiceRequest()) if "resourceSpans" in record else ("logs", ExportLogsServiceRequest())
        json_format.ParseDict(with_binary_ids(record), message)
        yield f"{n}.{kind}.pb", message.SerializeToString(deterministic=True)


def export(program):
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    with tempfile.TemporaryDirectory() as work:
        store, keys = f"{work}/store", f"{work}/keys"
        subprocess.run([program, "init", store, "--keys", keys], check=True, stdout=subprocess.DEVNULL)
        command = [program, "--store", store, "--identity", keys, "--json", "collect", "--otlp", "127.0.0.1:0", "--otlp-hold", "1"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            port = None
            while port is None:
                line = server.stdout.readline()
                assert line, "the receiver ended before it listened"
                port = json.loads(line).get("listening_port")
            n = 0
            for compression in (Compression.NoCompression, Compression.Gzip):
                provider = TracerProvider(resource=Resource.create({"service.name": "claims-desk"}))
                exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{port}/v1/traces", compression=compression)
                provider.add_span_processor(BatchSpanProcessor(exporter))
                tracer = provider.get_tracer("interop")
                for i in range(50):
                    with tracer.start_as_current_span("agent"):
                        with tracer.start_as_current_span("chat big-1") as span:
                            span.set_attribute("gen_ai.operation.name", "chat")
                            span.set_attribute("gen_ai.provider.name", "openai")
                            span.set_attribute("gen_ai.request.model", "big-1")
                            span.set_attribute("gen_ai.usage.input_tokens", 7 + i)
                            question = f"Question {n}?"
                            span.set_attribute("gen_ai.input.messages", json.dumps([{"role": "user", "parts": [{"type": "text", "content": question}]}]))
                            span.set_attribute("gen_ai.output.messages", json.dumps([{"role": "assistant", "parts": [{"type": "text", "content": "yes"}], "finish_reason": "stop"}]))
                            n += 1
                provider.shutdown()
            time.sleep(2)
        finally:
            server.send_signal(signal.SIGTERM)
            rest = server.communicate(timeout=30)[0]
        summary = json.loads(rest.strip().splitlines()[-1])
        assert server.returncode == 0, (server.returncode, summary)
        assert summary["n_out"] == n, summary
        assert summary["dropped"].get("other_span") == n, summary
        print(f"otlp: {n} calls of {2 * n} spans exported by opentelemetry-exporter-otlp-proto-http, all stored")


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else ""
    if what == "record":
        OUT.mkdir(parents=True, exist_ok=True)
        for name, data in recorded():
            (OUT / name).write_bytes(data)
    elif what == "check":
        for name, data in recorded():
            assert (OUT / name).read_bytes() == data, f"{name} differs"
        print("otlp: the recorded protobuf is what opentelemetry-proto writes")
    elif what == "export" and len(sys.argv) == 3:
        export(os.path.abspath(sys.argv[2]))
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()

"""What the benchmarks beside transformers share: the model, the machine, one process a figure, the README's tables."""
import datetime
import json
import os
import pathlib
import platform
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
PEER = os.environ.get("PEER_PYTHON", sys.executable)
# SmolLM2-135M's shape.
VOCAB, WIDTH, FFN, LAYERS, HEADS, KV, HEAD_DIM = 49152, 576, 1536, 30, 9, 3, 64

MAKE_MODEL = f"""
import sys, torch
from transformers import LlamaConfig, LlamaForCausalLM
torch.manual_seed(0)
LlamaForCausalLM(LlamaConfig(vocab_size={VOCAB}, hidden_size={WIDTH}, intermediate_size={FFN}, num_hidden_layers={LAYERS},
    num_attention_heads={HEADS}, num_key_value_heads={KV}, max_position_embeddings=8192, tie_word_embeddings=True,
    rope_theta=100000.0)).to(torch.bfloat16).save_pretrained(sys.argv[1])
"""
VERSIONS = "import torch, transformers; print(f'torch {torch.__version__}, transformers {transformers.__version__}')"


def peer_says(code, *args, text=None):
    """What the peer's Python prints for some code."""
    return subprocess.run([PEER, "-c", code, *map(str, args)], input=text, capture_output=True, text=True, check=True).stdout.strip()


def make_model(path):
    peer_says(MAKE_MODEL, path)
    return path


def cpu():
    return next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())


def machine(args, versions=VERSIONS):
    return (f"{cpu()}, {args.threads} threads, {args.device}; {peer_says(versions)}; {datetime.date.today()}; "
            f"{args.runs} {'run' if args.runs == 1 else 'runs, medians'}")


def program(name):
    path = ROOT / "build/release/tests/bench" / name
    if not path.exists():
        sys.exit(f"{path} isn't built: cmake --preset release -DSLM_BENCHMARKS=ON && scripts/build.sh release {name}")
    return path


def measure(sides, n_runs, say_seconds=True):
    """{name: [result of each run]}, the sides by turns, every figure from a process of its own."""
    environment = dict(os.environ, HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="false")
    results = {name: [] for name in sides}
    for run in range(n_runs):
        for name, command in sides.items():
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment)
            if done.returncode != 0:
                sys.exit(f"{name}: {done.stderr[-2000:]}")
            results[name].append(json.loads(done.stdout.splitlines()[-1]))
            seconds = [round(s, 2) for s in results[name][-1]["seconds"]]
            print(f"  run {run + 1}: {name}: {seconds if say_seconds else round(sum(seconds), 1)} s", file=sys.stderr)
    return results


def common_options(parser):
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md")


def publish(lines, name, into_readme):
    text = "\n".join(lines)
    print(text)
    if not into_readme:
        return
    readme = ROOT / "README.md"
    marked = re.sub(rf"(<!-- {name}:begin -->\n).*(<!-- {name}:end -->)", lambda m: m[1] + text + "\n" + m[2],
                    readme.read_text(encoding="utf-8"), flags=re.S)
    readme.write_text(marked, encoding="utf-8")

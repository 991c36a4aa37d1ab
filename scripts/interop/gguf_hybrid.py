#!/usr/bin/env python3
"""Records what llama.cpp's own converter makes of the hybrids under tests/data/families: tests/data/gguf/hybrid.json.

  gguf_hybrid.py LLAMA_CPP    (transformers, torch) LLAMA_CPP: its sources, as in the source package of llama-cpp-python

Of every tensor its shape, the sum of its values and a sum weighted by place; of every setting its value. No vocabulary.
"""
import json
import pathlib
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
DATA = HERE.parents[1] / "tests" / "data"
ROWS = ("lfm2", "granite-h", "nemotron-h", "falcon-h1")
PERIOD = 97  # of the weights


def directory_of(row, work):
    """The family's files, with config.json as the hub's are where the converter asks for more or for less."""
    out = work / row
    shutil.copytree(DATA / "families" / row, out)
    config = json.loads((out / "config.json").read_text())
    if row == "nemotron-h":
        config["d_head"] = config["mamba_head_dim"]
    (out / "config.json").write_text(json.dumps(config))
    return out


def record(file):
    import gguf
    import numpy as np
    reader = gguf.GGUFReader(file)
    settings = {k: f.contents() for k, f in reader.fields.items()
                if k == "general.architecture" or not k.startswith(("GGUF.", "general.", "tokenizer."))}
    tensors = {}
    for t in reader.tensors:
        assert t.tensor_type == 0, f"{t.name} isn't in float32"
        x = t.data.astype(np.float64).reshape(-1)
        tensors[t.name] = {"shape": [int(n) for n in reversed(t.shape)], "sum": float(x.sum()),
                           "weighted": float((x * (np.arange(x.size) % PERIOD + 1)).sum())}
    return {"settings": settings, "tensors": tensors}


def main():
    sources = pathlib.Path(sys.argv[1]).resolve()
    sys.path[:0] = [str(sources), str(sources / "gguf-py")]
    import convert_hf_to_gguf
    from conversion import base, falcon_h1, granite, lfm2, mamba, nemotron
    for kind in (base.TextModel, mamba.Mamba2Model, granite.GraniteHybridModel, nemotron.NemotronHModel, falcon_h1.FalconH1Model, lfm2.LFM2Model):
        kind.set_vocab = lambda self: None
    complete = base.ModelBase.load_hparams

    def plain(directory, *_, **__):
        return json.loads((pathlib.Path(directory) / "config.json").read_text())
    out = {}
    with tempfile.TemporaryDirectory() as work:
        for row in ROWS:
            file = pathlib.Path(work) / f"{row}.gguf"
            # transformers' defaults for a Nemotron-H are those of one with experts.
            base.ModelBase.load_hparams = staticmethod(plain if row == "nemotron-h" else complete)
            sys.argv = ["convert_hf_to_gguf.py", str(directory_of(row, pathlib.Path(work))), "--outfile", str(file), "--outtype", "f32"]
            convert_hf_to_gguf.main()
            out[row] = record(file)
    (DATA / "gguf" / "hybrid.json").write_text("{\n" + ",\n".join(f"{json.dumps(r)}: {json.dumps(v)}" for r, v in out.items()) + "\n}\n")


if __name__ == "__main__":
    main()

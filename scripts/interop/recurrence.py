#!/usr/bin/env python3
"""Mamba 2 and short convolutions written down token by token in float64 numpy, against transformers' own layers.

  recurrence.py DIR      the hybrid models that families.py made there

The reference of the other rows is transformers' chunked PyTorch path; this tells whether that path is right: every recurrent layer
of every model gets random inputs, and what it gives must equal the recurrence. (Nemotron-H's layer takes time_step_min for its lower
limit in transformers 5.23; what is trained elsewhere takes time_step_limit, and the rows give both the same value.)
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

BOUND = 1e-5
LENGTH = 23


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def convolve(x, weight, bias):
    """Each channel over its own last few values; weight [C, K], the last tap is the token's own."""
    out = np.zeros_like(x)
    taps = weight.shape[1]
    for t in range(len(x)):
        for k in range(taps):
            if t - k >= 0:
                out[t] += weight[:, taps - 1 - k] * x[t - k]
    return out if bias is None else out + bias


def weights_of(module):
    return {n: p.detach().double().numpy() for n, p in module.named_parameters()}


def linear(x, w, name):
    y = x @ w[name + ".weight"].T
    return y + w[name + ".bias"] if name + ".bias" in w else y


def short_conv(u, module, config):
    w = weights_of(module)
    b, c, x = np.split(linear(u, w, "in_proj"), 3, axis=1)
    return linear(c * convolve(b * x, w["conv.weight"][:, 0], w.get("conv.bias")), w, "out_proj")


def mamba(u, module, config):
    w = weights_of(module)
    falcon = config.model_type == "falcon_h1"
    if config.model_type == "nemotron_h":
        limit = (config.time_step_min, np.inf)
        eps = config.layer_norm_epsilon
    else:
        limit = config.time_step_limit
        eps = config.rms_norm_eps
    heads, width, groups, state = module.num_heads, module.head_dim, module.n_groups, module.ssm_state_size
    inner = heads * width
    z = linear(u * (config.ssm_in_multiplier if falcon else 1), w, "in_proj")
    sizes = [inner, inner, groups * state, groups * state, heads]
    if falcon:
        z = z * np.repeat(np.array(config.ssm_multipliers), sizes)
    gate, xbc, dt = np.split(z, [inner, 2 * inner + 2 * groups * state], axis=1)
    xbc = silu(convolve(xbc, w["conv1d.weight"][:, 0], w.get("conv1d.bias")))
    dt = np.clip(np.log1p(np.exp(dt + w["dt_bias"])), *limit)
    y = np.zeros((len(u), heads, width))
    for h in range(heads):
        group = h // (heads // groups)
        s = np.zeros((width, state))
        for t in range(len(u)):
            x = xbc[t, h * width:(h + 1) * width]
            b = xbc[t, inner + group * state:inner + (group + 1) * state]
            c = xbc[t, inner + (groups + group) * state:inner + (groups + group + 1) * state]
            s = np.exp(-np.exp(w["A_log"][h]) * dt[t, h]) * s + dt[t, h] * np.outer(x, b)
            y[t, h] = s @ c + w["D"][h] * x
    y = y.reshape(len(u), inner)

    def norm(v):
        g = v.reshape(len(v), groups, -1)
        return (g / np.sqrt((g**2).mean(-1, keepdims=True) + eps)).reshape(v.shape) * w["norm.weight"]

    if "norm.weight" not in w:
        y = y * silu(gate)
    elif falcon and config.mamba_norm_before_gate:
        y = norm(y) * silu(gate)
    else:
        y = norm(y * silu(gate))
    return linear(y, w, "out_proj")


def main():
    good, n = True, 0
    for directory in sorted(pathlib.Path(sys.argv[1]).iterdir()):
        if not (directory / "config.json").exists():
            continue
        if json.loads((directory / "config.json").read_text())["model_type"] not in ("nemotron_h", "granitemoehybrid", "lfm2", "falcon_h1"):
            continue
        model = transformers.AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, attn_implementation="eager").eval()
        g = torch.Generator().manual_seed(3)
        worst = 0
        for name, module in model.named_modules():
            kind = type(module).__name__
            by_hand = short_conv if kind.endswith("ShortConv") else mamba if kind.endswith(("Mamba2Mixer", "MambaLayer", "H1Mixer")) else None
            if by_hand is None:
                continue
            n += 1
            u = torch.randn((LENGTH, model.config.hidden_size), generator=g)
            with torch.no_grad():
                theirs = module(u[None])[0].double().numpy()
            mine = by_hand(u.double().numpy(), module, model.config)
            worst = max(worst, np.abs(mine - theirs).max() / np.abs(mine).max())
        print(f"{'ok  ' if worst <= BOUND else 'FAIL'} {directory.name}, recurrence by hand: {worst:.1e}")
        good &= worst <= BOUND
    return 0 if good and n > 0 else 1


if __name__ == "__main__":
    sys.exit(main())

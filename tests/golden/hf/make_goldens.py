#!/usr/bin/env python3
"""make_goldens.py - tiny random checkpoints and their logits by transformers.

Run by hand when a toy is added; the suite only reads what it wrote. README.md
describes the files. Needs torch and transformers (CPU is enough):

    python3 make_goldens.py                 writes every toy beside this script
    python3 make_goldens.py toy_gqa         one of them
    python3 make_goldens.py --in DIR ..     elsewhere

The logits come from transformers' classes, loaded from the files as they lie on
disk. forward.py says how far a correct implementation may be from them, twice:
in double throughout, and rounding to bf16 where this project does.
"""
import json
import os
import platform
import struct
import sys

import torch
import transformers

from forward import bf16, exact, forward
from toys import TOYS, config_of, dump, save_weights, toy, weights_of

HERE = os.path.dirname(os.path.abspath(__file__))
MARGIN = 2e-3              # by which the best token leads at every position


def positions_of(t):
    """Borders of attention's blocks and splits, of the window, and of what tests decode"""
    n, p = t["n_ids"], {0, 1, 63, 64, 127, 128, 129, 191, 255, 256, 257}
    if t["format"] == 2:
        p -= {1, 64, 129, 191, 257}
        p |= {n - 51, n - 50}
    if t["window"] is not None:
        w = t["window"][0]
        p |= {w - 1, w, w + 1, 127 + w, 128 + w, 255 + w, 256 + w, 511 + w, 512 + w}
    if n > 512:
        p |= {511, 512}
    return sorted({x for x in p if x < n} | {n - 1})


def reference(folder, ids, dtype):
    """Logits (n, vocab) of transformers in one pass, as float32"""
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(ids[None], use_cache=False).logits[0].to(torch.float32)


def prompt(t, seed):
    g = torch.Generator().manual_seed(seed)
    return torch.randint(0, t["vocab"], (t["n_ids"],), generator=g)


def least_margin(logits):
    best = logits.topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).min().item()


def clear_prompt(t, folder):
    """The first prompt at which no two tokens nearly tie: seed, ids, float32 logits"""
    for seed in range(1000 + t["seed"], 1000000, 100):
        ids = prompt(t, seed)
        f32 = reference(folder, ids, torch.float32)
        if t["format"] == 1 or least_margin(f32) > MARGIN:
            return seed, ids, f32


# ---- the fixture

def digest(logits):
    """(n, 3): the best logit, the row's mean and its root mean square"""
    x = logits.double()
    return torch.stack([x.max(1).values, x.mean(1), x.pow(2).mean(1).sqrt()], 1)


def golden_bytes(t, ids, pos, f32, b16):
    def floats(x):
        return x.numpy().astype("<f4").tobytes()

    def ints(x):
        return struct.pack(f"<{len(x)}i", *x)

    parts = [b"HIGOLD%d\n" % t["format"], struct.pack("<I", len(ids)), ints(ids.tolist()),
             struct.pack("<II", len(pos), t["vocab"]), ints(pos),
             floats(f32[pos]), floats(b16[pos])]
    if t["format"] == 2:
        parts += [ints(f32.argmax(1).tolist()), floats(digest(f32))]
    return b"".join(parts)


def behind(logits, f32):
    """By how much float32's best token is not the best here, at most"""
    gap = logits.max(1).values - logits.gather(1, f32.argmax(1)[:, None])[:, 0]
    return float(f"{gap.max().item():.3g}")


def distance(a, b):
    d = (a.double() - b.double()).abs()
    return dict(max=float(f"{d.max().item():.3g}"), mean=float(f"{d.mean().item():.3g}"))


def versions():
    return dict(python=platform.python_version(), torch=torch.__version__.split("+")[0],
                transformers=transformers.__version__)


def facts_of(t, seed, f32, b16, w, ids, pos):
    """golden.json: distances over the recorded positions, or in version 2 over all"""
    at = pos if t["format"] == 1 else slice(None)
    true, prob = forward(t, w, ids, exact)
    ours, _ = forward(t, w, ids, bf16)
    f32, b16, true, ours = f32[at], b16[at], true[at], ours[at]
    entropy = -(prob * prob.clamp_min(1e-300).log2()).sum(-1)[:, -1].mean().item()
    facts = versions() | dict(
        seed=t["seed"], logit_max=round(f32.abs().max().item(), 2),
        logit_std=round(f32.std().item(), 2), attention_bits_at_last=round(entropy, 2),
        f32_vs_double=distance(f32, true), bf16_vs_f32=distance(b16, f32),
        bf16_vs_double=distance(b16, true), rounded_vs_double=distance(ours, true),
        rounded_vs_bf16=distance(ours, b16),
        same_argmax=int((b16.argmax(1) == ours.argmax(1)).sum()))
    if t["format"] == 1:
        return facts
    near, _ = forward(t | dict(wrong=["float angles"]), w, ids, exact)
    unit = 1 + torch.arange(len(ids), dtype=torch.float64)[:, None] / 256
    return facts | dict(
        f32_vs_float_angles=distance(f32, near), in_units=distance(f32 / unit, near / unit),
        prompt_seed=seed, n_ids=len(ids), least_margin=float(f"{least_margin(f32):.3g}"),
        bf16_behind=behind(b16, f32), rounded_behind=behind(ours, f32),
        double_same_argmax=int((true.argmax(1) == f32.argmax(1)).sum()),
        digest_f32_vs_double=distance(digest(f32), digest(true)),
        digest_bf16_vs_f32=distance(digest(b16), digest(f32)),
        digest_rounded_vs_f32=distance(digest(ours), digest(f32)),
        rounded_vs_bf16_at_positions=distance(ours[pos], b16[pos]),
        rounded_vs_f32_at_positions=distance(ours[pos], f32[pos]))


def make(name, where):
    t, folder = toy(name), os.path.join(where, name)
    os.makedirs(folder, exist_ok=True)
    dump(folder, "config.json", config_of(t))
    w = weights_of(t)
    save_weights(folder, w, t["shards"])
    seed, ids, f32 = clear_prompt(t, folder)
    b16 = reference(folder, ids, torch.bfloat16)
    pos = positions_of(t)
    with open(os.path.join(folder, "golden.bin"), "wb") as f:
        f.write(golden_bytes(t, ids, pos, f32, b16))
    facts = facts_of(t, seed, f32, b16, w, ids, pos)
    dump(folder, "golden.json", facts)
    print(name, json.dumps(facts), flush=True)


def main():
    torch.set_num_threads(1)           # one order of summation
    args, where = sys.argv[1:], HERE
    if args[:1] == ["--in"]:
        where, args = args[1], args[2:]
    for name in args or TOYS:
        make(name, where)


if __name__ == "__main__":
    main()

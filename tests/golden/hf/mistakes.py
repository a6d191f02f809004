#!/usr/bin/env python3
"""mistakes.py - what a mistake in an implementation would change in the toys' logits.

    python3 mistakes.py [toy..]     a line for each toy and mistake

Each line: largest and mean difference of the double pass with the mistake from the one
without, over the recorded positions; the largest of the digests at all positions; at how
many positions the best token is another. The first and third must be far above the
tolerances that README.md states, or the suite would not notice.
"""
import json
import os
import sys

from forward import exact, forward
from make_goldens import HERE, digest, positions_of, prompt
from toys import TOYS, toy, weights_of


def window_changes(t):
    size, first, every = t["window"]
    yield "window one key longer", dict(window=(size + 1, first, every))
    yield "window one key shorter", dict(window=(size - 1, first, every))
    yield "no window", dict(window=None)
    if every == 2:
        yield "window on odd layers", dict(window=(size, 1, 2))
    if (first, every) != (0, 1):
        yield "window on every layer", dict(window=(size, 0, 1))


def rope_changes(t):
    r = t["rope"]
    kind = r.get("rope_type") or r["type"]
    yield f"{kind} frequencies left out", dict(rope=None)
    if kind in ("linear", "dynamic", "yarn"):
        yield "rope factor 1 % off", dict(rope=r | dict(factor=r["factor"] * 1.01))
    if kind == "yarn":
        yield "ramp's ends not whole", dict(wrong=["yarn whole"])
        yield "beta_fast 16 for 32", dict(rope=r | dict(beta_fast=16))
    if kind in ("yarn", "longrope"):
        yield "attention factor left out", dict(wrong=["attention factor"])
    if kind == "longrope":
        yield "the other list of factors", dict(
            rope=r | dict(long_factor=r["short_factor"], short_factor=r["long_factor"]))


def gemma_changes(t):
    yield "w for 1 + w", dict(wrong=["one plus"])
    yield "post-norm of attention left out", dict(wrong=["attention_layernorm"])
    yield "post-norm of the MLP left out", dict(wrong=["feedforward_layernorm"])
    yield "embedding not scaled", dict(wrong=["embed scale"])
    yield "embedding's scale rounded to bf16", dict(wrong=["embed scale bf16"])
    yield "scores scaled by head_dim", dict(query_scalar=t["head_dim"])
    for name in ("attn_cap", "final_cap"):
        if t[name] is not None:
            yield name + " left out", {name: None}
            yield name + " 1 % off", {name: t[name] * 1.01}


def changes(t):
    """(what, fields that differ) of all mistakes that this toy can show"""
    yield "eps 10 times as large", dict(eps=t["eps"] * 10)
    yield "theta 1 % off", dict(theta=t["theta"] * 1.01)
    scalar = t["query_scalar"] or t["head_dim"]
    yield "scores 1 % off", dict(query_scalar=scalar * 1.0201)
    if 1 < t["kv_heads"] < t["heads"]:
        yield "query head h on KV head h mod n", dict(wrong=["heads mod"])
    if t["window"] is not None:
        yield from window_changes(t)
    if t["rope"] is not None:
        yield from rope_changes(t)
    if t["family"] == "qwen3":
        yield "q and k not normalised", dict(wrong=["head norm"])
        yield "q and k normalised after rotation", dict(wrong=["norm after"])
    if t["act"] != "silu":
        yield "gelu by erf", dict(wrong=["erf"])
    if t["family"] == "gemma2":
        yield from gemma_changes(t)


def weight_changes(t, w):
    """(what, weights) of mistakes in reading tensors"""
    for which in "qkvo":
        if f"model.layers.0.self_attn.{which}_proj.bias" in w:
            name = f"self_attn.{which}_proj.bias"
            yield f"{which}'s bias left out", {k: v * (not k.endswith(name)) for k, v in w.items()}
    if t["family"] == "phi3":
        q, kv, ffn = t["heads"] * t["head_dim"], t["kv_heads"] * t["head_dim"], t["ffn"]
        order = list(range(q)) + list(range(q + kv, q + 2 * kv)) + list(range(q, q + kv))
        yield "packed v before k", {k: v[order] if "qkv" in k else v for k, v in w.items()}
        yield "packed up before gate", {
            k: v.roll(ffn, 0) if "gate_up" in k else v for k, v in w.items()}


def show(name, what, true, wrong, pos):
    d = (true - wrong).abs()[pos]
    far = (digest(true) - digest(wrong)).abs().max()
    other = int((true.argmax(1) != wrong.argmax(1)).sum())
    print(f"{name:15} {what:36} {d.max():8.1e} {d.mean():8.1e} {far:8.1e} {other:5d}")


def main():
    for name in sys.argv[1:] or [n for n in TOYS if toy(n)["format"] == 2]:
        t, w = toy(name), weights_of(toy(name))
        with open(os.path.join(HERE, name, "golden.json")) as f:
            ids = prompt(t, json.load(f)["prompt_seed"])
        true, _ = forward(t, w, ids, exact)
        for what, fields in changes(t):
            show(name, what, true, forward(t | fields, w, ids, exact)[0], positions_of(t))
        for what, v in weight_changes(t, w):
            show(name, what, true, forward(t, v, ids, exact)[0], positions_of(t))


if __name__ == "__main__":
    main()

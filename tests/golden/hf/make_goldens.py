#!/usr/bin/env python3
"""make_goldens.py - tiny random Llama checkpoints and their logits by transformers.

Run by hand when a toy is added; the suite only reads what it wrote. README.md
describes the files. Needs torch and transformers (CPU is enough):

    python3 make_goldens.py            writes every toy beside this script
    python3 make_goldens.py toy_gqa    one of them

The logits come from transformers' LlamaForCausalLM, loaded from the files as
they lie on disk. Two more forward passes, written out below, say how far a
correct implementation may be from them: one in double throughout, one that
rounds to bf16 where this project does.
"""
import json
import math
import os
import platform
import struct
import sys

import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
N_IDS = 300
POSITIONS = [0, 1, 63, 64, 127, 128, 129, 191, 255, 256, 257, 299]

LLAMA3 = dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)

TOYS = {
    "toy_gqa": dict(seed=1, dtype="bfloat16", shards=1, layers=3, hidden=64, heads=8, kv_heads=2,
                    head_dim=16, ffn=96, vocab=320, theta=10000.0, rope=None, act="silu",
                    attn_bias=False, mlp_bias=False, tied=False),
    "toy_mha": dict(seed=2, dtype="float32", shards=1, layers=2, hidden=64, heads=4, kv_heads=4,
                    head_dim=16, ffn=80, vocab=257, theta=10000.0, rope=None,
                    act="gelu_pytorch_tanh", attn_bias=True, mlp_bias=True, tied=True),
    "toy_llama3": dict(seed=3, dtype="bfloat16", shards=2, layers=2, hidden=64, heads=4,
                       kv_heads=1, head_dim=32, ffn=64, vocab=300, theta=500000.0, rope=LLAMA3,
                       act="silu", attn_bias=False, mlp_bias=False, tied=True),
}


# ---- the checkpoint

def config_of(t):
    """config.json as checkpoints of transformers 4 have it: rope_theta and rope_scaling on top"""
    return dict(
        architectures=["LlamaForCausalLM"], model_type="llama", vocab_size=t["vocab"],
        hidden_size=t["hidden"], intermediate_size=t["ffn"], num_hidden_layers=t["layers"],
        num_attention_heads=t["heads"], num_key_value_heads=t["kv_heads"],
        head_dim=t["head_dim"], hidden_act=t["act"], max_position_embeddings=8192,
        rms_norm_eps=1e-5, rope_theta=t["theta"], rope_scaling=t["rope"],
        attention_bias=t["attn_bias"], mlp_bias=t["mlp_bias"], tie_word_embeddings=t["tied"],
        bos_token_id=1, eos_token_id=2, torch_dtype=t["dtype"])


def weights_of(t):
    """Random tensors, scaled so that attention is far from uniform (scores of standard
    deviation 2.5) and logits are of order 3."""
    g = torch.Generator().manual_seed(t["seed"])
    d, ffn, q, kv = t["hidden"], t["ffn"], t["heads"] * t["head_dim"], t["kv_heads"] * t["head_dim"]
    w = {}

    def put(name, std, *shape, mean=0.0):
        w[name] = mean + std * torch.randn(*shape, generator=g)

    def linear(name, std, rows, cols, bias):
        put(name + ".weight", std, rows, cols)
        if bias:
            put(name + ".bias", 0.3, rows)

    put("model.embed_tokens.weight", 0.4 if t["tied"] else 1.0, t["vocab"], d)
    for l in range(t["layers"]):
        p = f"model.layers.{l}."
        put(p + "input_layernorm.weight", 0.2, d, mean=1.0)
        put(p + "post_attention_layernorm.weight", 0.2, d, mean=1.0)
        linear(p + "self_attn.q_proj", 0.2, q, d, t["attn_bias"])
        linear(p + "self_attn.k_proj", 0.2, kv, d, t["attn_bias"])
        linear(p + "self_attn.v_proj", 1.5 / math.sqrt(d), kv, d, t["attn_bias"])
        linear(p + "self_attn.o_proj", 1.0 / math.sqrt(q), d, q, t["attn_bias"])
        linear(p + "mlp.gate_proj", 1.5 / math.sqrt(d), ffn, d, t["mlp_bias"])
        linear(p + "mlp.up_proj", 1.5 / math.sqrt(d), ffn, d, t["mlp_bias"])
        linear(p + "mlp.down_proj", 1.0 / math.sqrt(ffn), d, ffn, t["mlp_bias"])
    put("model.norm.weight", 0.2, d, mean=1.0)
    if not t["tied"]:
        put("lm_head.weight", 3.0 / math.sqrt(d), t["vocab"], d)
    dtype = getattr(torch, t["dtype"])
    return {k: v.to(dtype).contiguous() for k, v in w.items()}


def save_weights(folder, w, shards):
    if shards == 1:
        save_file(w, os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
        return
    total = sum(v.numel() * v.element_size() for v in w.values())
    where, sofar = {}, 0
    for name, v in w.items():          # in the model's order: the cut falls inside a layer
        where[name] = f"model-{1 + sofar * shards // total:05d}-of-{shards:05d}.safetensors"
        sofar += v.numel() * v.element_size()
    for f in sorted(set(where.values())):
        save_file({k: v for k, v in w.items() if where[k] == f}, os.path.join(folder, f),
                  metadata={"format": "pt"})
    index = dict(metadata=dict(total_size=total), weight_map=dict(sorted(where.items())))
    dump(folder, "model.safetensors.index.json", index)


def dump(folder, name, what):
    with open(os.path.join(folder, name), "w") as f:
        f.write(json.dumps(what, indent=2) + "\n")


# ---- the reference

def reference(folder, ids, dtype):
    """Logits of transformers at POSITIONS, as float32"""
    model = transformers.LlamaForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager").eval()
    with torch.no_grad():
        return model(ids[None]).logits[0, POSITIONS].to(torch.float32)


# ---- our own forward pass, to measure what a correct one may differ by

def inv_freq(t):
    f = t["theta"] ** (-torch.arange(0, t["head_dim"], 2, dtype=torch.float64) / t["head_dim"])
    if t["rope"] is None:
        return f
    r, orig = t["rope"], t["rope"]["original_max_position_embeddings"]
    turns = orig * f / (2 * math.pi)
    low, high = r["low_freq_factor"], r["high_freq_factor"]
    s = ((turns - low) / (high - low)).clamp(0, 1)
    return (1 - s) * f / r["factor"] + s * f


def bf16(x):
    return x.to(torch.bfloat16).to(x.dtype)


def forward(t, w, ids, rnd):
    """Double throughout; 'rnd' is applied to the outputs of linears, norms, rotation,
    probabilities, activation and residual sums."""
    w = {k: rnd(v.double()) for k, v in w.items()}
    n, h, kv, hd = len(ids), t["heads"], t["kv_heads"], t["head_dim"]
    angle = torch.arange(n, dtype=torch.float64)[:, None] * inv_freq(t)[None]
    cos, sin = torch.cat([angle, angle], 1).cos(), torch.cat([angle, angle], 1).sin()

    def norm(x, name):
        return rnd(rnd(x * (x.pow(2).mean(-1, keepdim=True) + 1e-5).rsqrt()) * w[name + ".weight"])

    def linear(x, name):
        return rnd(F.linear(x, w[name + ".weight"], w.get(name + ".bias")))

    def rotate(x):
        turned = torch.cat([-x[..., hd // 2:], x[..., :hd // 2]], -1)
        return rnd(x * cos[:, None] + turned * sin[:, None])

    def act(x):
        return rnd(F.silu(x) if t["act"] == "silu" else F.gelu(x, approximate="tanh"))

    x = w["model.embed_tokens.weight"][ids]
    future = torch.full((n, n), -math.inf, dtype=torch.float64).triu(1)
    for l in range(t["layers"]):
        p = f"model.layers.{l}."
        y = norm(x, p + "input_layernorm")
        q = rotate(linear(y, p + "self_attn.q_proj").view(n, h, hd))
        k = rotate(linear(y, p + "self_attn.k_proj").view(n, kv, hd)).repeat_interleave(h // kv, 1)
        v = linear(y, p + "self_attn.v_proj").view(n, kv, hd).repeat_interleave(h // kv, 1)
        prob = torch.softmax(torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(hd) + future, -1)
        out = rnd(torch.einsum("hij,jhd->ihd", rnd(prob), v)).reshape(n, h * hd)
        x = rnd(x + linear(out, p + "self_attn.o_proj"))
        y = norm(x, p + "post_attention_layernorm")
        y = rnd(act(linear(y, p + "mlp.gate_proj")) * linear(y, p + "mlp.up_proj"))
        x = rnd(x + linear(y, p + "mlp.down_proj"))
    head = "model.embed_tokens" if t["tied"] else "lm_head"
    return linear(norm(x, "model.norm"), head)[POSITIONS], prob


# ---- the fixture

def golden_bytes(ids, vocab, f32, b16):
    return b"".join([
        b"HIGOLD1\n", struct.pack("<I", len(ids)), struct.pack(f"<{len(ids)}i", *ids.tolist()),
        struct.pack("<II", len(POSITIONS), vocab),
        struct.pack(f"<{len(POSITIONS)}i", *POSITIONS),
        f32.numpy().astype("<f4").tobytes(), b16.numpy().astype("<f4").tobytes()])


def distance(a, b):
    d = (a.double() - b.double()).abs()
    return dict(max=float(f"{d.max().item():.3g}"), mean=float(f"{d.mean().item():.3g}"))


def make(name):
    t, folder = TOYS[name], os.path.join(HERE, name)
    os.makedirs(folder, exist_ok=True)
    dump(folder, "config.json", config_of(t))
    w = weights_of(t)
    save_weights(folder, w, t["shards"])
    g = torch.Generator().manual_seed(1000 + t["seed"])
    ids = torch.randint(0, t["vocab"], (N_IDS,), generator=g)
    f32 = reference(folder, ids, torch.float32)
    b16 = reference(folder, ids, torch.bfloat16)
    exact, prob = forward(t, w, ids, lambda x: x)
    ours, _ = forward(t, w, ids, bf16)
    with open(os.path.join(folder, "golden.bin"), "wb") as f:
        f.write(golden_bytes(ids, t["vocab"], f32, b16))
    entropy = -(prob * prob.clamp_min(1e-300).log2()).sum(-1)[:, -1].mean().item()
    facts = dict(
        python=platform.python_version(), torch=torch.__version__.split("+")[0],
        transformers=transformers.__version__, seed=t["seed"],
        logit_max=round(f32.abs().max().item(), 2), logit_std=round(f32.std().item(), 2),
        attention_bits_at_last=round(entropy, 2),
        f32_vs_double=distance(f32, exact), bf16_vs_f32=distance(b16, f32),
        bf16_vs_double=distance(b16, exact), rounded_vs_double=distance(ours, exact),
        rounded_vs_bf16=distance(ours, b16),
        same_argmax=int((b16.argmax(1) == ours.argmax(1)).sum()))
    dump(folder, "golden.json", facts)
    print(name, json.dumps(facts))


def main():
    torch.set_num_threads(1)           # one order of summation
    for name in sys.argv[1:] or TOYS:
        make(name)


if __name__ == "__main__":
    main()

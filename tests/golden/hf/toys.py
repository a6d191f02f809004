"""toys.py - the shapes of the toys, their config.json and their random weights.

A toy's fields are those of its config.json under shorter names; "rope" is the file's
rope_scaling object as it is. Fields that a toy leaves out are DEFAULTS'.
"""
import json
import math
import os
import random

import torch
from safetensors.torch import save_file


def spread(seed, n, last):
    """n rising factors from about 1 to about 'last', as LongRoPE's are; multiples of 1/64, so
    that float32 holds them exactly and the reference's frequencies are good to a last bit."""
    r = random.Random(seed)
    steps = sorted(r.uniform(0.02, 1.0) for _ in range(n))
    return [round(64 * (1 + 0.1 * (i + 1) / n + (last - 1.1) * s * s)) / 64
            for i, s in enumerate(steps)]


LLAMA3 = dict(rope_type="llama3", factor=32.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=2048)
LONG_8 = dict(type="longrope", short_factor=spread(1, 8, 3), long_factor=spread(2, 8, 60))
LONG_48 = dict(rope_type="longrope", short_factor=spread(3, 48, 3), long_factor=spread(4, 48, 60))

DEFAULTS = dict(
    format=2, family="llama", dtype="bfloat16", shards=1, n_ids=300, ctx=8192, eps=1e-6,
    theta=10000.0, rope=None, orig_ctx=None, act="silu", qkv_bias=False, o_bias=False,
    mlp_bias=False, tied=False, window=None, attn_cap=None, final_cap=None, query_scalar=None,
    qk_std=None, head_norm=1.4, v5=False, wrong=())

# window: (size, first layer, every) as in specs. Seeds of prompts are the first at which the
# best token leads by more than MARGIN everywhere: see make_goldens.py.
TOYS = {
    "toy_gqa": dict(format=1, seed=1, layers=3, hidden=64, heads=8, kv_heads=2, head_dim=16,
                    ffn=96, vocab=320, eps=1e-5),
    "toy_mha": dict(format=1, seed=2, dtype="float32", layers=2, hidden=64, heads=4, kv_heads=4,
                    head_dim=16, ffn=80, vocab=257, eps=1e-5, act="gelu_pytorch_tanh",
                    qkv_bias=True, o_bias=True, mlp_bias=True, tied=True),
    "toy_llama3": dict(format=1, seed=3, shards=2, layers=2, hidden=64, heads=4, kv_heads=1,
                       head_dim=32, ffn=64, vocab=300, eps=1e-5, theta=500000.0, rope=LLAMA3,
                       tied=True),
    "llama_linear": dict(seed=11, layers=2, hidden=64, heads=2, kv_heads=1, head_dim=80, ffn=48,
                         vocab=199, eps=1e-5, rope=dict(type="linear", factor=3.0), qkv_bias=True,
                         o_bias=True, mlp_bias=True),
    "mistral_window": dict(family="mistral", seed=12, layers=2, hidden=48, heads=14, kv_heads=2,
                           head_dim=16, ffn=80, vocab=200, n_ids=777, eps=1e-5,
                           window=(100, 0, 1)),
    "mistral_nemo": dict(family="mistral", seed=13, layers=2, hidden=80, heads=4, kv_heads=2,
                         head_dim=32, ffn=64, vocab=231, eps=1e-5, theta=1000000.0,
                         rope=dict(rope_type="linear", factor=2.5)),
    "qwen2_bias": dict(family="qwen2", seed=14, layers=2, hidden=112, heads=7, kv_heads=1,
                       head_dim=16, ffn=48, vocab=211, theta=1000000.0, qkv_bias=True, tied=True),
    "qwen2_yarn": dict(family="qwen2", seed=15, layers=2, hidden=64, heads=2, kv_heads=1,
                       head_dim=32, ffn=80, vocab=240, n_ids=500, rope=YARN,
                       qkv_bias=True, qk_std=0.15),
    "qwen3_norm": dict(family="qwen3", seed=16, layers=3, hidden=64, heads=3, kv_heads=1,
                       head_dim=48, ffn=48, vocab=203, theta=1000000.0, tied=True, qk_std=0.01,
                       head_norm=1.2, window=(51, 1, 1)),
    "qwen3_dyn": dict(family="qwen3", seed=17, layers=2, hidden=64, heads=4, kv_heads=2,
                      head_dim=32, ffn=48, vocab=200, n_ids=1024, ctx=256, qk_std=0.01,
                      head_norm=1.0, rope=dict(rope_type="dynamic", factor=2.0), v5=True),
    "gemma2_cap": dict(family="gemma2", seed=18, layers=3, hidden=48, heads=4, kv_heads=2,
                       head_dim=32, ffn=64, vocab=209, n_ids=400, act="gelu_pytorch_tanh",
                       tied=True, window=(100, 0, 2), attn_cap=4.0, final_cap=8.0,
                       query_scalar=24, qk_std=0.35),
    "gemma2_plain": dict(family="gemma2", seed=19, layers=3, hidden=80, heads=5, kv_heads=1,
                         head_dim=16, ffn=64, vocab=200, act="gelu_pytorch_tanh", tied=True,
                         window=(37, 0, 2), query_scalar=20),
    "phi3_short": dict(family="phi3", seed=20, layers=2, hidden=64, heads=4, kv_heads=2,
                       head_dim=16, ffn=80, vocab=210, n_ids=777, ctx=32768, eps=1e-5,
                       rope=LONG_8, orig_ctx=8192, qk_std=0.14, window=(300, 0, 1)),
    "phi3_long": dict(family="phi3", seed=21, layers=2, hidden=96, heads=1, kv_heads=1,
                      head_dim=96, ffn=48, vocab=200, eps=1e-5, rope=LONG_48, orig_ctx=256,
                      tied=True, qk_std=0.1),
}

CLASSES = dict(llama="Llama", mistral="Mistral", qwen2="Qwen2", qwen3="Qwen3", gemma2="Gemma2",
               phi3="Phi3")


def toy(name):
    return DEFAULTS | TOYS[name]


# ---- config.json

def common_config(t):
    return dict(
        architectures=[CLASSES[t["family"]] + "ForCausalLM"], model_type=t["family"],
        vocab_size=t["vocab"], hidden_size=t["hidden"], intermediate_size=t["ffn"],
        num_hidden_layers=t["layers"], num_attention_heads=t["heads"],
        num_key_value_heads=t["kv_heads"], head_dim=t["head_dim"], hidden_act=t["act"],
        max_position_embeddings=t["ctx"], rms_norm_eps=t["eps"], rope_theta=t["theta"],
        rope_scaling=t["rope"], attention_bias=t["qkv_bias"], mlp_bias=t["mlp_bias"],
        tie_word_embeddings=t["tied"], bos_token_id=1, eos_token_id=2, torch_dtype=t["dtype"])


def drop(c, *names):
    for name in names:
        del c[name]


def config_of(t):
    """config.json with the fields that the family's published files have."""
    c, w = common_config(t), t["window"]
    if t["family"] == "mistral":
        drop(c, "attention_bias", "mlp_bias")
        c |= dict(sliding_window=w[0] if w else None)
    elif t["family"] in ("qwen2", "qwen3"):
        drop(c, "mlp_bias")
        if t["family"] == "qwen2":
            drop(c, "attention_bias", "head_dim")
        c |= dict(use_sliding_window=w is not None, sliding_window=w[0] if w else 8192,
                  max_window_layers=w[1] if w else t["layers"])
    elif t["family"] == "gemma2":            # the class's default ties
        drop(c, "mlp_bias", "tie_word_embeddings", "rope_scaling")
        c |= dict(hidden_activation=t["act"], query_pre_attn_scalar=t["query_scalar"],
                  attn_logit_softcapping=t["attn_cap"], final_logit_softcapping=t["final_cap"],
                  sliding_window=w[0])
    elif t["family"] == "phi3":
        drop(c, "attention_bias", "mlp_bias", "head_dim")
        c |= dict(original_max_position_embeddings=t["orig_ctx"], pad_token_id=3,
                  sliding_window=w[0] if w else None)
    if t["v5"]:                              # as transformers 5 writes it
        c["rope_parameters"] = dict(rope_theta=t["theta"]) | (t["rope"] or {})
        c["layer_types"] = ["full_attention"] * t["layers"]
        c["dtype"] = t["dtype"]
        drop(c, "rope_theta", "rope_scaling", "torch_dtype")
    return c


# ---- weights

def weights_of(t):
    """Random tensors, scaled so that attention is far from uniform (scores of standard
    deviation 2.5) and logits are of order 3. Where a sublayer's output or each head is
    normalised, what goes in is small, so that eps counts."""
    g = torch.Generator().manual_seed(t["seed"])
    d, ffn, q, kv = t["hidden"], t["ffn"], t["heads"] * t["head_dim"], t["kv_heads"] * t["head_dim"]
    gemma, old = t["family"] == "gemma2", t["format"] == 1
    back = 0.05 if gemma else 1.0
    qk = 0.2 if old else t["qk_std"] or 1.4 / math.sqrt(d)
    w = {}

    def put(name, std, *shape, mean=0.0):
        w[name] = mean + std * torch.randn(*shape, generator=g)

    def norm(name, mean=1.0, n=d):
        put(name + ".weight", 0.2, n, mean=mean - gemma)

    def linear(name, std, rows, cols, bias):
        put(name + ".weight", std, rows, cols)
        if bias:
            put(name + ".bias", 0.3, rows)

    def packed(name, parts):
        w[name] = torch.cat([w.pop(p) for p in parts])

    if old:
        put("model.embed_tokens.weight", 0.4 if t["tied"] else 1.0, t["vocab"], d)
    else:
        put("model.embed_tokens.weight", 3.0 / math.sqrt(d) if t["tied"] else 0.3, t["vocab"], d)
    for l in range(t["layers"]):
        p = f"model.layers.{l}."
        norm(p + "input_layernorm")
        norm(p + "post_attention_layernorm", mean=2.5 if gemma else 1.0)
        if gemma:
            norm(p + "pre_feedforward_layernorm")
            norm(p + "post_feedforward_layernorm", mean=2.5)
        if t["family"] == "qwen3":
            norm(p + "self_attn.q_norm", mean=t["head_norm"], n=t["head_dim"])
            norm(p + "self_attn.k_norm", mean=t["head_norm"], n=t["head_dim"])
        linear(p + "self_attn.q_proj", qk, q, d, t["qkv_bias"])
        linear(p + "self_attn.k_proj", qk, kv, d, t["qkv_bias"])
        linear(p + "self_attn.v_proj", 1.5 / math.sqrt(d), kv, d, t["qkv_bias"])
        linear(p + "self_attn.o_proj", back / math.sqrt(q), d, q, t["o_bias"])
        linear(p + "mlp.gate_proj", 1.5 / math.sqrt(d), ffn, d, t["mlp_bias"])
        linear(p + "mlp.up_proj", 1.5 / math.sqrt(d), ffn, d, t["mlp_bias"])
        linear(p + "mlp.down_proj", back / math.sqrt(ffn), d, ffn, t["mlp_bias"])
        if t["family"] == "phi3":
            packed(p + "self_attn.qkv_proj.weight",
                   [f"{p}self_attn.{x}_proj.weight" for x in "qkv"])
            packed(p + "mlp.gate_up_proj.weight",
                   [f"{p}mlp.{x}_proj.weight" for x in ("gate", "up")])
    norm("model.norm")
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

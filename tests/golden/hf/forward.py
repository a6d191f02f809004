"""forward.py - our own forward pass, to measure what a correct one may differ by.

Shares nothing with transformers but the weights: written from the published descriptions of
the six families. Double throughout; 'rnd' is applied where this project rounds in mode bf16.
A toy's "wrong" holds words that switch single steps off: mistakes.py says what they change.
"""
import math

import torch
import torch.nn.functional as F


def bf16(x):
    return x.to(torch.bfloat16).to(x.dtype)


def exact(x):
    return x


# ---- rotation

def plain_freq(t, theta=None):
    d = t["head_dim"]
    return (theta or t["theta"]) ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)


def llama3_freq(t, r, n):
    f, orig = plain_freq(t), r["original_max_position_embeddings"]
    low, high = r["low_freq_factor"], r["high_freq_factor"]
    s = ((orig * f / (2 * math.pi) - low) / (high - low)).clamp(0, 1)
    return (1 - s) * f / r["factor"] + s * f, 1.0


def linear_freq(t, r, n):
    return plain_freq(t) / r["factor"], 1.0


def dynamic_freq(t, r, n):
    d, s = t["head_dim"], max(n, t["ctx"])
    grown = r["factor"] * s / t["ctx"] - (r["factor"] - 1)
    return plain_freq(t, t["theta"] * grown ** (d / (d - 2))), 1.0


def yarn_freq(t, r, n):
    d, orig = t["head_dim"], r["original_max_position_embeddings"]

    def pair_of(turns):
        return d * math.log(orig / (turns * 2 * math.pi)) / (2 * math.log(t["theta"]))

    low, high = pair_of(r.get("beta_fast", 32)), pair_of(r.get("beta_slow", 1))
    if "yarn whole" not in t["wrong"]:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, d - 1)
    ramp = ((torch.arange(d // 2, dtype=torch.float64) - low) / (high - low or 0.001)).clamp(0, 1)
    f = plain_freq(t)
    return f / r["factor"] * ramp + f * (1 - ramp), 0.1 * math.log(r["factor"]) + 1


def longrope_freq(t, r, n):
    which = "long_factor" if n > t["orig_ctx"] else "short_factor"
    by = torch.tensor(r[which], dtype=torch.float64)
    grown = t["ctx"] / t["orig_ctx"]
    return plain_freq(t) / by, math.sqrt(1 + math.log(grown) / math.log(t["orig_ctx"]))


ROPES = dict(linear=linear_freq, llama3=llama3_freq, dynamic=dynamic_freq, yarn=yarn_freq,
             longrope=longrope_freq, su=longrope_freq)


def frequencies(t, n):
    """(head_dim / 2) radians per position, and what cosine and sine are multiplied by, for a
    context of n tokens"""
    r = t["rope"]
    if r is None:
        return plain_freq(t), 1.0
    f, by = ROPES[r.get("rope_type") or r["type"]](t, r, n)
    return f, 1.0 if "attention factor" in t["wrong"] else by


def rotation(t, n):
    f, by = frequencies(t, n)
    kind = torch.float32 if "float angles" in t["wrong"] else torch.float64
    angle = (torch.arange(n, dtype=kind)[:, None] * f.to(kind)[None]).double()
    angle = torch.cat([angle, angle], 1)[:, None]
    return angle.cos() * by, angle.sin() * by


# ---- the pass

def unpacked(t, w):
    """Weights with qkv_proj and gate_up_proj cut into the tensors of the other families."""
    q, kv, out = t["heads"] * t["head_dim"], t["kv_heads"] * t["head_dim"], {}
    cuts = {"qkv_proj": (("q_proj", q), ("k_proj", kv), ("v_proj", kv)),
            "gate_up_proj": (("gate_proj", t["ffn"]), ("up_proj", t["ffn"]))}
    for name, v in w.items():
        whole = name.split(".")[-2]
        at = 0
        for part, rows in cuts.get(whole, ((whole, len(v)),)):
            out[name.replace(whole, part)] = v[at:at + rows]
            at += rows
    return out


def hidden_keys(t, n, layer):
    """(n, n) added to scores: -inf at keys that a row does not see"""
    i = torch.arange(n)
    seen = i[None] <= i[:, None]
    if t["window"] is not None:
        size, first, every = t["window"]
        if layer >= first and (layer - first) % every == 0:
            seen &= i[None] > i[:, None] - size
    return torch.zeros(n, n, dtype=torch.float64).masked_fill(~seen, -math.inf)


def capped(x, cap):
    return x if cap is None else cap * torch.tanh(x / cap)


class Pass:
    def __init__(self, t, w, n, rnd):
        self.t, self.rnd, self.n = t, rnd, n
        self.w = {k: rnd(v.double()) for k, v in unpacked(t, w).items()}
        self.cos, self.sin = rotation(t, n)
        self.gemma = t["family"] == "gemma2"
        scalar = t["query_scalar"] or t["head_dim"]
        self.scale = 1 / math.sqrt(scalar)
        self.prob = None

    def norm(self, x, name):
        w, rnd = self.w[name + ".weight"], self.rnd
        y = x * (x.pow(2).mean(-1, keepdim=True) + self.t["eps"]).rsqrt()
        if self.gemma:
            return rnd(y * (w if "one plus" in self.t["wrong"] else 1 + w))
        return rnd(rnd(y) * w)

    def linear(self, x, name):
        return self.rnd(F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias")))

    def rotate(self, x):
        half = self.t["head_dim"] // 2
        turned = torch.cat([-x[..., half:], x[..., :half]], -1)
        return self.rnd(x * self.cos + turned * self.sin)

    def heads(self, y, p, which, n_heads):
        """(n, n_heads, head_dim) queries or keys, normalised and rotated"""
        x = self.linear(y, f"{p}self_attn.{which}_proj").view(self.n, n_heads, -1)
        name, wrong = f"{p}self_attn.{which}_norm", self.t["wrong"]
        if name + ".weight" not in self.w or "head norm" in wrong:
            return self.rotate(x)
        if "norm after" in wrong:
            return self.norm(self.rotate(x), name)
        return self.rotate(self.norm(x, name))

    def attention(self, y, p, layer):
        t, n, rnd = self.t, self.n, self.rnd
        h, kv = t["heads"], t["kv_heads"]
        of = torch.arange(h) % kv if "heads mod" in t["wrong"] else torch.arange(h) // (h // kv)
        q = self.heads(y, p, "q", h)
        k = self.heads(y, p, "k", kv)[:, of]
        v = self.linear(y, p + "self_attn.v_proj").view(n, kv, -1)[:, of]
        score = capped(torch.einsum("ihd,jhd->hij", q, k) * self.scale, t["attn_cap"])
        self.prob = torch.softmax(score + hidden_keys(t, n, layer), -1)
        out = rnd(torch.einsum("hij,jhd->ihd", rnd(self.prob), v)).reshape(n, -1)
        return self.linear(out, p + "self_attn.o_proj")

    def act(self, x):
        if self.t["act"] == "silu":
            return self.rnd(F.silu(x))
        return self.rnd(F.gelu(x, approximate="none" if "erf" in self.t["wrong"] else "tanh"))

    def mlp(self, y, p):
        gate, up = self.linear(y, p + "mlp.gate_proj"), self.linear(y, p + "mlp.up_proj")
        return self.linear(self.rnd(self.act(gate) * up), p + "mlp.down_proj")

    def post(self, x, name):
        """The norm of a sublayer's output, where the family has one"""
        skip = not self.gemma or name.split("post_")[-1] in self.t["wrong"]
        return x if skip else self.norm(x, name)

    def layer(self, x, l):
        p = f"model.layers.{l}."
        y = self.attention(self.norm(x, p + "input_layernorm"), p, l)
        x = self.rnd(x + self.post(y, p + "post_attention_layernorm"))
        before = "pre_feedforward_layernorm" if self.gemma else "post_attention_layernorm"
        y = self.mlp(self.norm(x, p + before), p)
        return self.rnd(x + self.post(y, p + "post_feedforward_layernorm"))

    def embed(self, ids):
        x, wrong = self.w["model.embed_tokens.weight"][ids], self.t["wrong"]
        if not self.gemma or "embed scale" in wrong:
            return x
        by = torch.tensor(math.sqrt(self.t["hidden"]), dtype=torch.float64)
        return self.rnd(x * (bf16(by) if "embed scale bf16" in wrong else self.rnd(by)))

    def logits(self, ids):
        """(n, vocab); rounded where the first three toys' record has them so"""
        x = self.embed(ids)
        for l in range(self.t["layers"]):
            x = self.layer(x, l)
        head = "model.embed_tokens" if self.t["tied"] else "lm_head"
        y = F.linear(self.norm(x, "model.norm"), self.w[head + ".weight"])
        return capped(self.rnd(y) if self.t["format"] == 1 else y, self.t["final_cap"])


def forward(t, w, ids, rnd):
    """Logits (n, vocab) in double, and the last layer's probabilities (heads, n, n)"""
    run = Pass(t, w, len(ids), rnd)
    return run.logits(ids), run.prob

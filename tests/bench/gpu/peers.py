#!/usr/bin/env python3
"""peers.py - other ways to compute the same, by PyTorch, where that is installed.

    peers.py sdpa [SECONDS]           scaled_dot_product_attention, on the shapes of bench_kernels
    peers.py schedules [SECONDS]      two schedules of an offloaded cache, Llama-3-8B's shape
    peers.py library [SECONDS]        the offloaded cache of the transformers library itself
    peers.py check                    the schedules against a cache that stays, tiny, on any device

One line of JSON for each measurement. The schedules are re-runs, written from the description of what
the public code does, with random weights:

HeadInfer's schedule: the cache is in pageable host memory, one pair of tensors for each KV head. A
head is copied to the device whole while the one before computes, extended by its new rows, attended
to and copied back whole; the host waits for every head. Prompts in chunks of 10240 tokens. The same
from pinned memory, without that waiting, is what its paper describes.

Layer-wise schedule (the offloaded cache of Hugging Face's transformers): the same with whole layers,
the next one fetched while one computes; a prompt in one pass.
"""
import json
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.nn.attention.bias import causal_lower_right
except ImportError:
    print("skipped: no PyTorch here", file=sys.stderr)
    sys.exit(77)

LLAMA_8B = dict(layers=32, hidden=4096, heads=32, kv_heads=8, head_dim=128, ffn=14336, theta=5e5)
TINY = dict(layers=3, hidden=64, heads=8, kv_heads=2, head_dim=16, ffn=96, theta=1e4)
HEADINFER_CHUNK = 10240
MLP_ROWS = 8192
DECODED = 3
LENGTHS = [1024, 4096, 16384, 65536, 102400]
CUDA = torch.cuda.is_available()


def say(**what):
    print(json.dumps(what), flush=True)


def wait():
    if CUDA:
        torch.cuda.synchronize()


# ---- attention alone ----

def median_ms(call):
    for _ in range(3):
        call()
    wait()
    times = []
    for _ in range(9):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        end.synchronize()
        times.append(begin.elapsed_time(end))
    return statistics.median(times)


def sdpa(seconds):
    queries, end = 4096, time.time() + seconds
    backends = [("flash", SDPBackend.FLASH_ATTENTION), ("cudnn", SDPBackend.CUDNN_ATTENTION)]
    for head_dim in (128, 64):
        for keys in (4096, 16384, 32768, 65536, 131072):
            q = torch.randn(1, 32, queries, head_dim, device="cuda", dtype=torch.bfloat16)
            k, v = (torch.randn(1, 8, keys, head_dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
            for name, backend in backends:
                for causal in (False, True):
                    if causal and keys != queries or time.time() > end:
                        continue
                    flops = 4 * 32 * head_dim * (queries * (queries + 1) // 2 if causal else queries * keys)
                    what = dict(bench="sdpa", way=name, head_dim=head_dim, queries=queries, keys=keys,
                                causal=causal)
                    try:
                        with sdpa_kernel(backend):
                            ms = median_ms(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=causal,
                                                                                  enable_gqa=True))
                        say(**what, ms=round(ms, 4), tflops=round(flops / ms / 1e9, 1))
                    except RuntimeError as e:
                        say(**what, refused=str(e).splitlines()[0][:120])


# ---- the model ----

class Model:
    def __init__(self, shape, device, dtype):
        self.s, self.device, self.dtype = shape, device, dtype
        s = shape
        qkv = (s["heads"] + 2 * s["kv_heads"]) * s["head_dim"]
        sizes = dict(qkv=(qkv, s["hidden"]), o=(s["hidden"], s["heads"] * s["head_dim"]),
                     gate_up=(2 * s["ffn"], s["hidden"]), down=(s["hidden"], s["ffn"]))
        g = torch.Generator(device=device).manual_seed(1)
        self.layer = [{name: torch.randn(n, k, device=device, dtype=dtype, generator=g) * k ** -0.5
                       for name, (n, k) in sizes.items()} for _ in range(s["layers"])]
        i = torch.arange(0, s["head_dim"], 2, device=device, dtype=torch.float32)
        self.freq = s["theta"] ** (-i / s["head_dim"])

    def rotate(self, x, pos0):
        """x (heads, rows, head_dim) in pairs (i, i + head_dim / 2)."""
        at = torch.arange(pos0, pos0 + x.shape[1], device=self.device, dtype=torch.float32)
        angle = at[:, None] * self.freq[None]
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        a, b = x.chunk(2, dim=-1)
        return torch.cat((a * cos - b * sin, b * cos + a * sin), dim=-1)

    def run(self, x, cache):
        """Rows x (rows, hidden) behind what the cache holds; its last row."""
        s, pos0 = self.s, cache.length
        for n, w in enumerate(self.layer):
            h = F.rms_norm(x, (s["hidden"],))
            qkv = (h @ w["qkv"].T).view(x.shape[0], -1, s["head_dim"]).transpose(0, 1)
            q, k, v = qkv.split((s["heads"], s["kv_heads"], s["kv_heads"]))
            o = cache.attend(n, self.rotate(q, pos0), self.rotate(k, pos0), v)
            x = x + o.transpose(0, 1).reshape(x.shape[0], -1) @ w["o"].T
            for at in range(0, x.shape[0], MLP_ROWS):
                h = F.rms_norm(x[at:at + MLP_ROWS], (s["hidden"],)) @ w["gate_up"].T
                gate, up = h.chunk(2, dim=-1)
                x[at:at + MLP_ROWS] += (F.silu(gate) * up) @ w["down"].T
        cache.length += x.shape[0]
        return x[-1:]


def attention(q, k, v):
    """q (heads, rows, d) at the end of the keys (kv heads, keys, d)."""
    g = q.shape[0] // k.shape[0]
    k, v = (t[:, None].expand(-1, g, -1, -1).flatten(0, 1)[None] for t in (k, v))
    rows, keys = q.shape[1], k.shape[2]
    if rows == 1:
        mask = None
    elif rows == keys:
        return F.scaled_dot_product_attention(q[None], k, v, is_causal=True)[0]
    else:
        mask = causal_lower_right(rows, keys)
    return F.scaled_dot_product_attention(q[None], k, v, attn_mask=mask)[0]


# ---- caches ----

class Stays:
    """Keys and values stay on the device."""
    def __init__(self, model):
        self.length = 0
        self.kv = [None] * model.s["layers"]

    def attend(self, n, q, k, v):
        if self.kv[n] is not None:
            k, v = (torch.cat((old, new), dim=1) for old, new in zip(self.kv[n], (k, v)))
        self.kv[n] = (k, v)
        return attention(q, k, v)


class Moves:
    """Keys and values in host memory; 'parts' of a layer (KV heads, or 1) move one by one.

    room: tokens of a pinned buffer for each part; 0: pageable memory, new with every eviction.
    """
    def __init__(self, model, parts, synchronous, room=0):
        self.length, self.parts, self.synchronous = 0, parts, synchronous
        self.device, n = model.device, model.s["layers"] * parts
        self.host, self.saved, self.coming = [None] * n, [None] * n, {}
        shape = (2, model.s["kv_heads"] // parts, room, model.s["head_dim"])
        self.pinned = torch.empty(n, *shape, dtype=model.dtype, pin_memory=True) if room and CUDA else None
        self.fetching = torch.cuda.Stream() if CUDA else None
        self.evicting = torch.cuda.Stream() if CUDA else None

    def fetch(self, i):
        i %= len(self.host)
        if self.host[i] is None or i in self.coming:
            return
        if not CUDA:
            self.coming[i] = self.host[i]
            return
        if self.pinned is not None:
            self.fetching.wait_event(self.saved[i])
        with torch.cuda.stream(self.fetching):
            self.coming[i] = tuple(t.to(self.device, non_blocking=True) for t in self.host[i])

    def evict(self, i, kv):
        """The whole of it, as the public code does."""
        if not CUDA:
            self.host[i] = kv
            return
        self.evicting.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.evicting):
            if self.pinned is None:
                self.host[i] = tuple(t.to("cpu", non_blocking=True) for t in kv)
            else:
                self.host[i] = tuple(p[:, :t.shape[1]] for p, t in zip(self.pinned[i], kv))
                for to, t in zip(self.host[i], kv):
                    for head in range(t.shape[0]):       # each is contiguous
                        to[head].copy_(t[head], non_blocking=True)
                self.saved[i] = self.evicting.record_event()
            for t in kv:
                t.record_stream(self.evicting)

    def one(self, i, q, k, v):
        self.fetch(i)
        if CUDA:
            torch.cuda.current_stream().wait_stream(self.fetching)
        old = self.coming.pop(i, None)
        self.fetch(i + 1)
        if old is not None:
            for t in old:
                if CUDA:
                    t.record_stream(torch.cuda.current_stream())
            k, v = (torch.cat((a, b), dim=1) for a, b in zip(old, (k, v)))
        o = attention(q, k, v)
        self.evict(i, (k.contiguous(), v.contiguous()))
        if self.synchronous:
            wait()
        return o

    def attend(self, n, q, k, v):
        parts = (t.chunk(self.parts) for t in (q, k, v))
        return torch.cat([self.one(n * self.parts + p, *x) for p, x in enumerate(zip(*parts))])


# name, rows of a pass (None: the whole prompt), cache
WAYS = [("torch, all on the device", HEADINFER_CHUNK, lambda m, n: Stays(m)),
        ("HeadInfer's schedule, re-run", HEADINFER_CHUNK,
         lambda m, n: Moves(m, m.s["kv_heads"], True)),
        ("HeadInfer's schedule, re-run, pinned", HEADINFER_CHUNK,
         lambda m, n: Moves(m, m.s["kv_heads"], False, n)),
        ("layer-wise schedule, re-run", None, lambda m, n: Moves(m, 1, False))]


def prefill(model, cache, x, chunk):
    chunk = chunk or x.shape[0]
    for at in range(0, x.shape[0], chunk):
        last = model.run(x[at:at + chunk].clone(), cache)
    wait()
    return last


def measure(model, cache, x, chunk):
    """Seconds of a prompt, and of a token behind it: the median, without the first."""
    wait()
    begin = time.time()
    last = prefill(model, cache, x, chunk)
    prompt, tokens = time.time() - begin, []
    for _ in range(DECODED + 1):
        begin = time.time()
        last = model.run(last, cache)
        wait()
        tokens.append(time.time() - begin)
    return prompt, statistics.median(tokens[1:])


@torch.inference_mode()
def schedules(seconds):
    model, end = Model(LLAMA_8B, "cuda", torch.bfloat16), time.time() + seconds
    x = torch.randn(LENGTHS[-1], LLAMA_8B["hidden"], device="cuda", dtype=torch.bfloat16)
    for name, chunk, make in WAYS:
        prefill(model, make(model, 2048), x[:2048], chunk)
    took = {name: 0.0 for name, _, _ in WAYS}
    for length in LENGTHS:
        for name, chunk, make in WAYS:
            if time.time() + 4 * took[name] > end:
                say(bench="schedule", way=name, tokens=length, refused="no time left")
                continue
            begin = time.time()
            try:
                prompt, token = measure(model, make(model, length + 8), x[:length], chunk)
                say(bench="schedule", way=name, tokens=length, prefill_s=round(prompt, 4),
                    decode_ms=round(1e3 * token, 3))
            except RuntimeError as e:
                say(bench="schedule", way=name, tokens=length, refused=str(e).splitlines()[0][:120])
            took[name] = time.time() - begin


@torch.inference_mode()
def library(seconds):
    try:
        import transformers
    except ImportError:
        print("skipped: no transformers here", file=sys.stderr)
        sys.exit(77)
    s, end = LLAMA_8B, time.time() + seconds
    config = transformers.LlamaConfig(
        hidden_size=s["hidden"], intermediate_size=s["ffn"], num_hidden_layers=s["layers"],
        num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"], head_dim=s["head_dim"],
        vocab_size=128256, max_position_embeddings=1 << 17, attn_implementation="sdpa")
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = transformers.LlamaForCausalLM(config).eval()
    ids = torch.randint(1, 128000, (1, LENGTHS[-1]), device="cuda")
    took = 0.0

    def generate(length, n):
        begin = time.time()
        model.generate(ids[:, :length], attention_mask=torch.ones_like(ids[:, :length]), do_sample=False,
                       min_new_tokens=n, max_new_tokens=n, cache_implementation="offloaded", pad_token_id=0)
        wait()
        return time.time() - begin

    name = f"transformers {transformers.__version__}, offloaded cache"
    generate(1024, 2)
    for length in LENGTHS:
        if time.time() + 4 * took > end:
            say(bench="schedule", way=name, tokens=length, refused="no time left")
            continue
        begin = time.time()
        first, more = generate(length, 1), generate(length, 1 + DECODED)
        took = time.time() - begin
        say(bench="schedule", way=name, tokens=length, prefill_s=round(first, 4),
            decode_ms=round(1e3 * (more - first) / DECODED, 3))


@torch.inference_mode()
def check():
    device = "cuda" if CUDA else "cpu"
    model = Model(TINY, device, torch.float32)
    x = torch.randn(300, TINY["hidden"], device=device)
    want = None
    for name, chunk, make in WAYS:
        cache = make(model, 310)
        last = prefill(model, cache, x, min(chunk, 128) if chunk else None)
        got = [last] + [last := model.run(last, cache) for _ in range(3)]
        got = torch.cat([t.clone() for t in got])
        wait()
        want = got if want is None else want
        error = float((got - want).norm() / want.norm())
        print(f"{name}: {error:.2e} from the first")
        if not error < 1e-5 or cache.length != 303:
            sys.exit(1)


def main():
    parts = dict(sdpa=sdpa, schedules=schedules, library=library)
    part, seconds = (sys.argv + ["", "", ""])[1:3]
    if part == "check":
        check()
    elif part in parts:
        if not CUDA:
            print("skipped: PyTorch sees no GPU", file=sys.stderr)
            sys.exit(77)
        parts[part](float(seconds or 120))
    else:
        print(__doc__)
        sys.exit(2)


main()

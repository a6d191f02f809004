-- expect: rope.short[9] = 2: is one too many; head_dim / 2 = 8 are needed
return {
    family = "llama",
    layers = 3,
    hidden = 64,
    heads = 8,
    kv_heads = 2,
    head_dim = 16,
    ffn = 96,
    vocab = 320,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "longrope", theta = 10000, orig_ctx = 4096, attn_factor = 1, long = { 1, 1, 1, 1, 1, 1, 1, 1 }, short = { 1, 1, 1, 1, 1, 1, 1, 1, 2 } },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

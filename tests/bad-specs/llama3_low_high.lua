-- expect: rope.low_freq = 4: must be below rope.high_freq (4)
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
    rope = { kind = "llama3", theta = 500000, factor = 32, low_freq = 4, high_freq = 4, orig_ctx = 8192 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

-- expect: norm_eps = nan: must be a number above 0 and below 0.1
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
    norm_eps = 0 / 0,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

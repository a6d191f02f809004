-- expect: rope.low_freq = 1: rope.kind = "linear" does not use it; remove it
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
    rope = { kind = "linear", theta = 10000, factor = 8, low_freq = 1 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

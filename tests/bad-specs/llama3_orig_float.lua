-- expect: rope.orig_ctx = 8192.5: must be a whole number from 1 to 1073741824, written without point or exponent
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
    rope = { kind = "llama3", theta = 500000, factor = 32, low_freq = 1, high_freq = 4, orig_ctx = 8192.5 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

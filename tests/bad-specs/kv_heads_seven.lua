-- expect: kv_heads = 7: must divide heads (32); use 1, 2, 4, 8, 16 or 32
return {
    family = "llama",
    layers = 3,
    hidden = 64,
    heads = 32,
    kv_heads = 7,
    head_dim = 16,
    ffn = 96,
    vocab = 320,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

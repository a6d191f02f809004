-- expect: kv_head = 2: unknown field; did you mean kv_heads?
return {
    family = "llama",
    layers = 3,
    hidden = 64,
    heads = 8,
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
    kv_head = 2,
}

-- Random toy: as many KV heads as query heads, eight of them, and six layers, so that
-- all group sizes and panels occur.
return {
    family = "llama",
    layers = 6,
    hidden = 96,
    heads = 8,
    kv_heads = 8,
    head_dim = 32,
    ffn = 48,
    vocab = 258,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "linear", theta = 10000, factor = 2 },
    act = "silu",
    qkv_bias = false,
    o_bias = true,
    mlp_bias = false,
    tied = false,
}

-- expect: rope.beta_slow = 32: must be below rope.beta_fast (1)
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
    rope = { kind = "yarn", theta = 10000, factor = 4, orig_ctx = 2048, beta_fast = 1, beta_slow = 32, attn_factor = 1 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

-- kernels_qwen3 - kernels of the Qwen3 shape: heads of 128, normalised before rotation.
return {
    family = "qwen3",
    layers = 2,
    hidden = 4096,
    heads = 32,
    kv_heads = 8,
    head_dim = 128,
    ffn = 12288,
    vocab = 1000,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

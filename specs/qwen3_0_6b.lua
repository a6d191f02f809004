-- Qwen3 0.6B. Source: config.json of Qwen/Qwen3-0.6B; eos also from generation_config.json.
-- head_dim is not hidden / heads.
return {
    family = "qwen3",
    layers = 28,
    hidden = 1024,
    heads = 16,
    kv_heads = 8,
    head_dim = 128,
    ffn = 3072,
    vocab = 151936,
    ctx = 40960,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 1000000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
    bos = 151643,
    eos = { 151645, 151643 },
}

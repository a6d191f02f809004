-- Qwen2.5 0.5B. Source: config.json of Qwen/Qwen2.5-0.5B; eos also holds the end of turn of
-- Qwen/Qwen2.5-0.5B-Instruct, which has the same shape.
return {
    family = "qwen2",
    layers = 24,
    hidden = 896,
    heads = 14,
    kv_heads = 2,
    head_dim = 64,
    ffn = 4864,
    vocab = 151936,
    ctx = 32768,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 1000000 },
    act = "silu",
    qkv_bias = true,
    o_bias = false,
    mlp_bias = false,
    tied = true,
    bos = 151643,
    eos = { 151643, 151645 },
}

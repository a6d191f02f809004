-- Qwen2.5 1.5B. Source: config.json of Qwen/Qwen2.5-1.5B; eos also holds the end of turn of
-- Qwen/Qwen2.5-1.5B-Instruct, which has the same shape and ctx 32768.
return {
    family = "qwen2",
    layers = 28,
    hidden = 1536,
    heads = 12,
    kv_heads = 2,
    head_dim = 128,
    ffn = 8960,
    vocab = 151936,
    ctx = 131072,
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

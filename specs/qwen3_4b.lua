-- Qwen3 4B. Source: config.json of Qwen/Qwen3-4B; eos also from generation_config.json. The
-- 2507 variants have theta 5000000 and ctx 262144. head_dim is not hidden / heads.
return {
    family = "qwen3",
    layers = 36,
    hidden = 2560,
    heads = 32,
    kv_heads = 8,
    head_dim = 128,
    ffn = 9728,
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

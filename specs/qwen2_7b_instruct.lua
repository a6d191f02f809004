-- Qwen2 7B Instruct. Source: config.json of Qwen/Qwen2-7B-Instruct; eos also from
-- generation_config.json.
return {
    family = "qwen2",
    layers = 28,
    hidden = 3584,
    heads = 28,
    kv_heads = 4,
    head_dim = 128,
    ffn = 18944,
    vocab = 152064,
    ctx = 32768,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 1000000 },
    act = "silu",
    qkv_bias = true,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 151643,
    eos = { 151645, 151643 },
}

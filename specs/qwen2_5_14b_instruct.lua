-- Qwen2.5 14B Instruct. Source: config.json of Qwen/Qwen2.5-14B-Instruct; eos also from
-- generation_config.json. norm_eps is not the base model's.
return {
    family = "qwen2",
    layers = 48,
    hidden = 5120,
    heads = 40,
    kv_heads = 8,
    head_dim = 128,
    ffn = 13824,
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

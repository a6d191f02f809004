-- Qwen2.5 7B Instruct 1M. Source: config.json of Qwen/Qwen2.5-7B-Instruct-1M; eos also from
-- generation_config.json. Its authors use dual chunk attention beyond 262144 tokens.
return {
    family = "qwen2",
    layers = 28,
    hidden = 3584,
    heads = 28,
    kv_heads = 4,
    head_dim = 128,
    ffn = 18944,
    vocab = 152064,
    ctx = 1010000,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000000 },
    act = "silu",
    qkv_bias = true,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    dual_chunk = 262144,
    bos = 151643,
    eos = { 151645, 151643 },
}

-- Llama 3 70B. Source: config.json of meta-llama/Meta-Llama-3-70B; eos also holds the end
-- of turn of meta-llama/Meta-Llama-3-70B-Instruct, which has the same shape.
return {
    family = "llama",
    layers = 80,
    hidden = 8192,
    heads = 64,
    kv_heads = 8,
    head_dim = 128,
    ffn = 28672,
    vocab = 128256,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 500000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 128000,
    eos = { 128001, 128009 },
}

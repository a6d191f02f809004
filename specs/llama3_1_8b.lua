-- Llama 3.1 8B. Source: config.json of meta-llama/Llama-3.1-8B; eos is the list of
-- meta-llama/Llama-3.1-8B-Instruct, which has the same shape.
return {
    family = "llama",
    layers = 32,
    hidden = 4096,
    heads = 32,
    kv_heads = 8,
    head_dim = 128,
    ffn = 14336,
    vocab = 128256,
    ctx = 131072,
    norm_eps = 1e-5,
    rope = {
        kind = "llama3",
        theta = 500000,
        factor = 8,
        low_freq = 1,
        high_freq = 4,
        orig_ctx = 8192,
    },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 128000,
    eos = { 128001, 128008, 128009 },
}

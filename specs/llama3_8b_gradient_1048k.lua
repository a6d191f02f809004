-- Llama 3 8B Instruct Gradient 1048k. Source: config.json of
-- gradientai/Llama-3-8B-Instruct-Gradient-1048k; eos also holds the end of turn. An early
-- revision has another rope_theta (2804339835): weights and theta must be of one revision.
return {
    family = "llama",
    layers = 32,
    hidden = 4096,
    heads = 32,
    kv_heads = 8,
    head_dim = 128,
    ffn = 14336,
    vocab = 128256,
    ctx = 1048576,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 3580165449 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 128000,
    eos = { 128001, 128009 },
}

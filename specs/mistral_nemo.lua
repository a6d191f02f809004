-- Mistral Nemo. Source: config.json of mistralai/Mistral-Nemo-Base-2407, also of
-- -Instruct-2407. First revisions had ctx 1024000. head_dim is not hidden / heads.
return {
    family = "mistral",
    layers = 40,
    hidden = 5120,
    heads = 32,
    kv_heads = 8,
    head_dim = 128,
    ffn = 14336,
    vocab = 131072,
    ctx = 131072,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 1000000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 1,
    eos = 2,
}

-- Phi 3 mini 4k. Source: config.json of microsoft/Phi-3-mini-4k-instruct; eos is the list of
-- generation_config.json.
return {
    family = "phi3",
    layers = 32,
    hidden = 3072,
    heads = 32,
    kv_heads = 32,
    head_dim = 96,
    ffn = 8192,
    vocab = 32064,
    ctx = 4096,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    window = { size = 2047, first = 0, every = 1 },
    bos = 1,
    eos = { 32000, 32001, 32007 },
}

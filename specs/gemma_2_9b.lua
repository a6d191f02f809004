-- Gemma 2 9B. Source: config.json of google/gemma-2-9b; eos also holds the end of turn of
-- google/gemma-2-9b-it, which has the same shape. In its first weeks query_pre_attn_scalar
-- was 224, by mistake.
return {
    family = "gemma2",
    layers = 42,
    hidden = 3584,
    heads = 16,
    kv_heads = 8,
    head_dim = 256,
    ffn = 14336,
    vocab = 256000,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 10000 },
    act = "gelu_tanh",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
    window = { size = 4096, first = 0, every = 2 },
    softcap = { attn = 50, final = 30 },
    query_pre_attn_scalar = 256,
    bos = 2,
    eos = { 1, 107 },
}

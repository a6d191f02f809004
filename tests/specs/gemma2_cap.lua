-- gemma2_cap - both soft caps small enough to bite; scores not scaled by head_dim; windows in
-- layers 0 and 2. Weights and golden logits: tests/golden/hf/gemma2_cap.
return {
    family = "gemma2",
    layers = 3,
    hidden = 48,
    heads = 4,
    kv_heads = 2,
    head_dim = 32,
    ffn = 64,
    vocab = 209,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 10000 },
    window = { size = 100, first = 0, every = 2 },
    softcap = { attn = 4, final = 8 },
    query_pre_attn_scalar = 24,
    act = "gelu_tanh",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

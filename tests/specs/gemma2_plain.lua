-- gemma2_plain - no soft caps; five query heads on one KV head; a window of 37 in layers 0 and
-- 2. Weights and golden logits: tests/golden/hf/gemma2_plain.
return {
    family = "gemma2",
    layers = 3,
    hidden = 80,
    heads = 5,
    kv_heads = 1,
    head_dim = 16,
    ffn = 64,
    vocab = 200,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 10000 },
    window = { size = 37, first = 0, every = 2 },
    query_pre_attn_scalar = 20,
    act = "gelu_tanh",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

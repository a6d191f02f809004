-- qwen2_bias - seven query heads on one KV head, biases of q, k and v, tied. Weights and golden
-- logits: tests/golden/hf/qwen2_bias.
return {
    family = "qwen2",
    layers = 2,
    hidden = 112,
    heads = 7,
    kv_heads = 1,
    head_dim = 16,
    ffn = 48,
    vocab = 211,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 1000000 },
    act = "silu",
    qkv_bias = true,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

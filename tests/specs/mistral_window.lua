-- mistral_window - seven query heads per KV head, and a window of 100, no multiple of any
-- block. Weights and golden logits: tests/golden/hf/mistral_window.
return {
    family = "mistral",
    layers = 2,
    hidden = 48,
    heads = 14,
    kv_heads = 2,
    head_dim = 16,
    ffn = 80,
    vocab = 200,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    window = { size = 100, first = 0, every = 1 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

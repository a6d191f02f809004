-- qwen3_norm - heads of 48 normalised before rotation, three on one KV head, a window from
-- layer 1 on, tied. Weights and golden logits: tests/golden/hf/qwen3_norm.
return {
    family = "qwen3",
    layers = 3,
    hidden = 64,
    heads = 3,
    kv_heads = 1,
    head_dim = 48,
    ffn = 48,
    vocab = 203,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = { kind = "default", theta = 1000000 },
    window = { size = 51, first = 1, every = 1 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

-- qwen2_yarn - YaRN frequencies with the default ramp, biases of q, k and v, untied. Weights
-- and golden logits: tests/golden/hf/qwen2_yarn.
return {
    family = "qwen2",
    layers = 2,
    hidden = 64,
    heads = 2,
    kv_heads = 1,
    head_dim = 32,
    ffn = 80,
    vocab = 240,
    ctx = 8192,
    norm_eps = 1e-6,
    rope = {
        kind = "yarn", theta = 10000, factor = 4, orig_ctx = 2048, beta_fast = 32, beta_slow = 1,
        attn_factor = 1.138629436111989,
    },
    act = "silu",
    qkv_bias = true,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

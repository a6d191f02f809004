-- qwen3_dyn - dynamic frequencies: the golden logits are those of a context of exactly 1024.
-- Weights and golden logits: tests/golden/hf/qwen3_dyn.
return {
    family = "qwen3",
    layers = 2,
    hidden = 64,
    heads = 4,
    kv_heads = 2,
    head_dim = 32,
    ffn = 48,
    vocab = 200,
    ctx = 256,
    norm_eps = 1e-6,
    rope = { kind = "dynamic", theta = 10000, factor = 2, orig_ctx = 256 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

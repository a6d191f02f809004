-- mistral_nemo - Mistral without a window: heads x head_dim is not hidden; linear frequencies.
-- Weights and golden logits: tests/golden/hf/mistral_nemo.
return {
    family = "mistral",
    layers = 2,
    hidden = 80,
    heads = 4,
    kv_heads = 2,
    head_dim = 32,
    ffn = 64,
    vocab = 231,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "linear", theta = 1000000, factor = 2.5 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

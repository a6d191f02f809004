-- phi3_short - packed tensors, LongRoPE below its original length, and a window of 300. Weights
-- and golden logits: tests/golden/hf/phi3_short.
return {
    family = "phi3",
    layers = 2,
    hidden = 64,
    heads = 4,
    kv_heads = 2,
    head_dim = 16,
    ffn = 80,
    vocab = 210,
    ctx = 32768,
    norm_eps = 1e-5,
    rope = {
        kind = "longrope", theta = 10000, orig_ctx = 8192, attn_factor = 1.0741723110591492,
        long = {
            1.34375, 1.65625, 7.140625, 28, 33.421875, 42.515625, 54.125, 55.03125,
        },
        short = {
            1.0625, 1.15625, 1.4375, 1.53125, 1.890625, 2.203125, 2.28125, 2.46875,
        },
    },
    window = { size = 300, first = 0, every = 1 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

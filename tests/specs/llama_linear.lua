-- llama_linear - biases everywhere, linear frequencies, two heads of 80, wider than
-- hidden. Weights and golden logits: tests/golden/hf/llama_linear.
return {
    family = "llama",
    layers = 2,
    hidden = 64,
    heads = 2,
    kv_heads = 1,
    head_dim = 80,
    ffn = 48,
    vocab = 199,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "linear", theta = 10000, factor = 3 },
    act = "silu",
    qkv_bias = true,
    o_bias = true,
    mlp_bias = true,
    tied = false,
}

-- toy_llama3 - one KV head, head_dim not hidden / heads, Llama-3.1's frequencies, tied, two shards.
-- Weights and golden logits: tests/golden/hf/toy_llama3.
return {
    family = "llama",
    layers = 2,
    hidden = 64,
    heads = 4,
    kv_heads = 1,
    head_dim = 32,
    ffn = 64,
    vocab = 300,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = {
        kind = "llama3", theta = 500000, factor = 32, low_freq = 1, high_freq = 4, orig_ctx = 64,
    },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = true,
}

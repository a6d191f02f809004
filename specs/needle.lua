-- The constructed needle checkpoint: 733,824 parameters that retrieve any four bytes of a
-- haystack up to 1M tokens. No Hugging Face repository: tests/needle writes its config.json
-- and weights in the Llama format.
return {
    family = "llama",
    layers = 2,
    hidden = 128,
    heads = 16,
    kv_heads = 4,
    head_dim = 64,
    ffn = 16,
    vocab = 256,
    ctx = 1048576,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 1e16 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
    bos = 0,
    eos = 0,
}

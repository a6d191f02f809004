-- A toy of the Llama format with a KV head for each query head, tied, all biases,
-- gelu_tanh, and a vocabulary that fills no whole panel. No Hugging Face repository: the
-- tests write its config.json and random weights.
return {
    family = "llama",
    layers = 2,
    hidden = 64,
    heads = 4,
    kv_heads = 4,
    head_dim = 16,
    ffn = 80,
    vocab = 257,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    act = "gelu_tanh",
    qkv_bias = true,
    o_bias = true,
    mlp_bias = true,
    tied = true,
}

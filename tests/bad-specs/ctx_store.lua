-- expect: ctx = 1073741824: its keys and values take 2^60 bytes or more; at most 536870912
return {
    family = "llama",
    layers = 1024,
    hidden = 64,
    heads = 1024,
    kv_heads = 1024,
    head_dim = 256,
    ffn = 96,
    vocab = 320,
    ctx = 1073741824,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

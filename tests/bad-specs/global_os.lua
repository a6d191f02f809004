-- expect: line 4: attempt to index a nil value (global 'os'); a spec has tables, arithmetic, math and a few functions only
return {
    family = "llama",
    layers = os.getenv("LAYERS"),
    hidden = 64,
    heads = 8,
    kv_heads = 2,
    head_dim = 16,
    ffn = 96,
    vocab = 320,
    ctx = 8192,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 10000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

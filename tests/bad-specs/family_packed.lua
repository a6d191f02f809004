-- expect: family/packed.lua: tensors.layer.q = "model.layers.%d.self_attn.q_proj.weight": cannot stand beside tensors.layer.qkv; remove one of them
return {
    family = "packed",
    layers = 3,
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

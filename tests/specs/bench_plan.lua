-- What plan_vs_real.sh measures: a Llama shape whose work, not its hand-overs, takes the time, and
-- whose prompt of 8192 tokens passes in seconds on two cores. No Hugging Face repository: weights
-- are random.
return {
    family = "llama",
    layers = 6,
    hidden = 1536,
    heads = 16,
    kv_heads = 4,
    head_dim = 128,
    ffn = 4096,
    vocab = 16384,
    ctx = 32768,
    norm_eps = 1e-5,
    rope = { kind = "default", theta = 500000 },
    act = "silu",
    qkv_bias = false,
    o_bias = false,
    mlp_bias = false,
    tied = false,
}

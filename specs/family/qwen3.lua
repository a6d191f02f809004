-- qwen3.lua - the Llama block; every head of q and k is normalised before rotation.
-- Tensor names as in the checkpoints of transformers' Qwen3ForCausalLM
-- (modeling_qwen3.py); "%d" stands for the layer. Biases exist in checkpoints whose
-- config.json has attention_bias; lm_head is absent where tie_word_embeddings is true.
return {
    family = "qwen3",
    block = { "norm_qkv", "attend", "out_mlp" },
    tensors = {
        embed = "model.embed_tokens.weight",
        final_norm = "model.norm.weight",
        lm_head = "lm_head.weight",
        layer = {
            attn_norm = "model.layers.%d.input_layernorm.weight",
            q = "model.layers.%d.self_attn.q_proj.weight",
            k = "model.layers.%d.self_attn.k_proj.weight",
            v = "model.layers.%d.self_attn.v_proj.weight",
            o = "model.layers.%d.self_attn.o_proj.weight",
            q_norm = "model.layers.%d.self_attn.q_norm.weight",
            k_norm = "model.layers.%d.self_attn.k_norm.weight",
            mlp_norm = "model.layers.%d.post_attention_layernorm.weight",
            gate = "model.layers.%d.mlp.gate_proj.weight",
            up = "model.layers.%d.mlp.up_proj.weight",
            down = "model.layers.%d.mlp.down_proj.weight",
            q_bias = "model.layers.%d.self_attn.q_proj.bias",
            k_bias = "model.layers.%d.self_attn.k_proj.bias",
            v_bias = "model.layers.%d.self_attn.v_proj.bias",
            o_bias = "model.layers.%d.self_attn.o_proj.bias",
        },
    },
}

-- phi3.lua - the Llama block; q, k and v are one matrix, and gate and up one.
-- Tensor names as in the checkpoints of transformers' Phi3ForCausalLM.
return {
    family = "phi3",
    block = { "norm_qkv", "attend", "out_mlp" },
    tensors = {
        embed = "model.embed_tokens.weight",
        final_norm = "model.norm.weight",
        lm_head = "lm_head.weight",
        layer = {
            attn_norm = "model.layers.%d.input_layernorm.weight",
            qkv = "model.layers.%d.self_attn.qkv_proj.weight",
            o = "model.layers.%d.self_attn.o_proj.weight",
            mlp_norm = "model.layers.%d.post_attention_layernorm.weight",
            gate_up = "model.layers.%d.mlp.gate_up_proj.weight",
            down = "model.layers.%d.mlp.down_proj.weight",
        },
    },
}

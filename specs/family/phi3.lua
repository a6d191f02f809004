-- phi3.lua - the Llama block without biases; q, k and v are one tensor, gate and up
-- another, their rows in this order.
-- Tensor names as in the checkpoints of transformers' Phi3ForCausalLM
-- (modeling_phi3.py); "%d" stands for the layer. lm_head is absent where
-- tie_word_embeddings is true.
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

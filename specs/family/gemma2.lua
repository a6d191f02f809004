-- gemma2.lua - RMSNorm before and after both sublayers, soft caps, a window in every
-- other layer, the embedding scaled. Norms store w for a factor of 1 + w.
-- Tensor names as in the checkpoints of transformers' Gemma2ForCausalLM
-- (modeling_gemma2.py); "%d" stands for the layer. lm_head exists where config.json
-- says tie_word_embeddings = false; absent, the field means true.
return {
    family = "gemma2",
    block = { "norm_qkv", "attend", "out_mlp" },
    norm_offset = 1,
    embed_scale = "sqrt_hidden",
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
            attn_post_norm = "model.layers.%d.post_attention_layernorm.weight",
            mlp_norm = "model.layers.%d.pre_feedforward_layernorm.weight",
            gate = "model.layers.%d.mlp.gate_proj.weight",
            up = "model.layers.%d.mlp.up_proj.weight",
            down = "model.layers.%d.mlp.down_proj.weight",
            mlp_post_norm = "model.layers.%d.post_feedforward_layernorm.weight",
        },
    },
}

-- mistral.lua - the Llama block without biases; a spec may give it a window.
-- Tensor names as in the checkpoints of transformers' MistralForCausalLM
-- (modeling_mistral.py); "%d" stands for the layer. lm_head is absent where
-- tie_word_embeddings is true.
return {
    family = "mistral",
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
            mlp_norm = "model.layers.%d.post_attention_layernorm.weight",
            gate = "model.layers.%d.mlp.gate_proj.weight",
            up = "model.layers.%d.mlp.up_proj.weight",
            down = "model.layers.%d.mlp.down_proj.weight",
        },
    },
}

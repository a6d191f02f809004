# Golden logits: each toy in f32 and bf16, all on the device and with the least memory.
#
# Prompts of 300 to 1024 tokens in tiles of 256 cross the borders of passes, splits, tiles and
# windows. Every usable instruction set runs. toy_mha is stored in f32: bf16 plans take it rounded,
# or refuse it.
set(golden_folders ${HI_HOME}/tests/golden/hf)
set(GOLDEN_MODELS toy_gqa toy_mha toy_llama3 llama_linear mistral_window mistral_nemo qwen2_bias
    qwen2_yarn qwen3_norm qwen3_dyn gemma2_cap gemma2_plain phi3_short phi3_long)
if(HI_SANITIZE STREQUAL "thread")
    set(GOLDEN_MODELS toy_gqa toy_mha toy_llama3)
elseif(HI_SANITIZE)
    set(GOLDEN_MODELS toy_gqa toy_mha toy_llama3 qwen2_yarn qwen3_norm gemma2_cap phi3_short)
endif()

foreach(model ${GOLDEN_MODELS})
    set(spec_${model} ${HI_HOME}/tests/specs/${model}.lua)
    hi_shape(${model} ${spec_${model}} bf16)
    hi_shape(${model}_f32 ${spec_${model}} f32)
    foreach(numerics f32 bf16)
        set(shape ${model})
        set(round "")
        set(label ${numerics})
        if(numerics STREQUAL "f32")
            set(shape ${model}_f32)
        elseif(model STREQUAL "toy_mha")
            set(round round)
            set(label bf16_rounded)
        endif()
        foreach(budget none min)
            set(name golden_${model}_${numerics}_${budget})
            set(place --ctx 1024)
            if(model STREQUAL "qwen3_dyn")   # its angles are those of its prompt's length
                list(APPEND place --tile 256)
            elseif(budget STREQUAL "min")    # of a context so long that not all is resident
                set(place --ctx 8192 --tile 256)
            endif()
            hi_placement(${name} ${spec_${model}} ${budget} --numerics ${numerics} --logits all
                ${place})
            hi_program(test_${name} golden_test.c ${name} ${shape} plain)
            add_test(NAME golden.${model}.${label}.${budget}
                COMMAND test_${name} ${golden_folders}/${model} ${round})
        endforeach()
    endforeach()
endforeach()

add_test(NAME golden.toy_mha.bf16_refuses
    COMMAND test_golden_toy_mha_bf16_none ${golden_folders}/toy_mha refuses)
set_tests_properties(golden.toy_gqa.bf16.min golden.toy_llama3.f32.min PROPERTIES LABELS "threads")

# Bit-equality of every family: what blocks and rotations differ in does not depend on placement.
#
# Prompts of 2200 tokens, many times the toys' windows; half of them harsh. The context is the same
# in all, as longrope and dynamic angles hang on it.
set(FAMILY_MODELS llama_linear mistral_window mistral_nemo qwen2_bias qwen2_yarn qwen3_norm qwen3_dyn
    gemma2_cap gemma2_plain phi3_short phi3_long)
if(HI_SANITIZE STREQUAL "thread")
    set(FAMILY_MODELS gemma2_cap)
elseif(HI_SANITIZE)
    set(FAMILY_MODELS mistral_window qwen3_norm gemma2_cap phi3_short)
endif()

set(family_1 "min|--tile 256 --chunk 128 --slots 3|threads=2|harsh")
set(family_2 "none|--group 1 --tile 512 --chunk 384 --slots 4 --weights 1 --panel 1|threads=3 gbps=1|plain")
set(family_3 "1.2|--bands 3 --chunk 1024|threads=2 rows=333 rewind=100|harsh")
set(family_4 "none|--chunk 2304|threads=2 rows=1|plain")

add_custom_command(OUTPUT ${out}/ids_199.txt
    COMMAND awk "BEGIN { s = 11; for (i = 0; i < 2264; i++) { s = (s * 16807) % 2147483647; print s % 198 + 1 } }"
        > ${out}/ids_199.txt VERBATIM)
add_custom_target(families_ids ALL DEPENDS ${out}/ids_199.txt)

foreach(model ${FAMILY_MODELS})
    set(reference ${out}/${model}.bits)
    hi_placement(family_${model} ${spec_${model}} none --ctx 2304 --logits all)
    hi_program(dump_family_${model} dump.c family_${model} ${model} plain)
    add_test(NAME families.${model}.reference COMMAND dump_family_${model} ${weights_${model}} ${out}/ids_199.txt
        ${reference} decode=64 threads=1)
    set_tests_properties(families.${model}.reference PROPERTIES FIXTURES_SETUP family_${model} LABELS "threads")
    foreach(placement 1 2 3 4)
        string(REPLACE "|" ";" parts "${family_${placement}}")
        list(GET parts 0 budget)
        list(GET parts 1 options)
        list(GET parts 2 run)
        list(GET parts 3 kind)
        separate_arguments(options)
        separate_arguments(run)
        set(name family_${model}_${placement})
        hi_placement(${name} ${spec_${model}} ${budget} --ctx 2304 --logits all ${options})
        hi_program(dump_${name} dump.c ${name} ${model} ${kind})
        add_test(NAME families.${model}.${placement} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:dump_${name}>
            ${weights_${model}} ${out}/ids_199.txt ${reference} decode=64 ${run})
        set_tests_properties(families.${model}.${placement} PROPERTIES FIXTURES_REQUIRED family_${model}
            LABELS "threads")
    endforeach()
endforeach()

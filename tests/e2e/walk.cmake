# A random walk of prefill, decode and rewind gives the same scores wherever the bytes lie.
set(walk_1 "min|--tile 256 --chunk 128 --slots 3|threads=2|plain")
set(walk_2 "min|--tile 512 --chunk 256 --group 1|threads=16 gbps=1|harsh")
set(walk_3 "none|--resident 2 --tile 256 --group 1 --slots 7 --logits all|threads=3|harsh")
set(walk_4 "min|--weights 0 --panel 1 --tile 256 --chunk 128|threads=2|harsh")
set(walk_5 "none|--resident 0 --tile 1024 --group 1 --bands 4 --slots 4 --chunk 256 --weights 0 --panel 2|threads=2|plain")

set(WALK_MODELS needle toy_gqa gemma2_cap qwen3_norm)
if(HI_SANITIZE STREQUAL "thread")
    set(WALK_MODELS needle gemma2_cap)
endif()
foreach(model ${WALK_MODELS})
    foreach(placement 0 1 2 3 4 5)
        if(placement EQUAL 0)
            set(line "none||threads=1|plain")
        else()
            set(line "${walk_${placement}}")
        endif()
        string(REPLACE "|" ";" parts "${line}")
        list(GET parts 0 budget)
        list(GET parts 1 options)
        list(GET parts 2 run)
        list(GET parts 3 kind)
        separate_arguments(options)
        separate_arguments(run)
        set(name walk_${model}_${placement})
        hi_placement(${name} ${spec_${model}} ${budget} --ctx 2304
            --numerics ${numerics_${model}} ${options})
        hi_program(test_${name} walk_test.c ${name} ${model} ${kind})
        if(placement EQUAL 0)
            set(reference ${out}/${name}.hashes)
            add_test(NAME walk.${model}.reference
                COMMAND test_${name} ${weights_${model}} 1 ${reference} ${run})
            set_tests_properties(walk.${model}.reference PROPERTIES FIXTURES_SETUP walk_${model}
                FIXTURES_REQUIRED needle_folder LABELS "threads" TIMEOUT 60)
            continue()
        endif()
        if(HI_SANITIZE STREQUAL "thread" AND placement MATCHES "[13]")
            continue()               # the others have their threads and more
        endif()
        add_test(NAME walk.${model}.${placement} COMMAND ${SH} ${e2e}/same.sh
            $<TARGET_FILE:test_${name}> ${weights_${model}} 1 ${reference} ${run})
        set_tests_properties(walk.${model}.${placement} PROPERTIES
            FIXTURES_REQUIRED "walk_${model};needle_folder" LABELS "threads" TIMEOUT 60)
    endforeach()
endforeach()

# Random models under random plans; by hand with more cases, other seeds, or a sanitizer's build.
add_test(NAME long.random_models
    COMMAND ${SH} ${HI_HOME}/tests/fuzz/random_models.sh ${CMAKE_BINARY_DIR} 20 1)
set_tests_properties(long.random_models PROPERTIES LABELS "long" TIMEOUT 1800)

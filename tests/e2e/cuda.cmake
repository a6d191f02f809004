# The cuda target on the emulated GPU: the same plans, kernels and host code, no GPU and no toolkit.
#
# Every placement gives the bits of the one where everything is resident, whatever order the
# streams run in.

set(CUDA_TOKENS 1060)
set(CUDA_DECODED 60)
set(CUDA_MODELS toy_gqa toy_mha needle toy_wide)
set(CUDA_EVERY 4 4 4 12)             # of the models' placements; attention of toy_wide takes longest
if(HI_SANITIZE)
    set(CUDA_MODELS toy_gqa)
    set(CUDA_EVERY 3)
endif()
add_custom_command(OUTPUT ${out}/cuda_ids.txt
    COMMAND head -n ${CUDA_TOKENS} ${out}/ids.txt > ${out}/cuda_ids.txt
    DEPENDS ${out}/ids.txt VERBATIM)
add_custom_target(cuda_ids ALL DEPENDS ${out}/cuda_ids.txt)

# A program over a placement's objects, on the emulated GPU.
function(hi_cuda_program name source placement shape)
    if(NOT TARGET cuda_${shape})
        hi_emulated_device(cuda_${shape} "${out}/shape_${shape}" HI_HARSH)
        add_dependencies(cuda_${shape} shape_h_${shape})
    endif()
    add_executable(${name} ${source})
    target_link_libraries(${name} PRIVATE ${placement}_plan runtime cuda_${shape} runtime)
    set_target_properties(${name} PROPERTIES LINKER_LANGUAGE C)
    hi_target_options(${name})
endfunction()

# A test: the program gives its model's reference.
function(hi_cuda_same test program model mode seed)
    add_test(NAME ${test} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:${program}> ${weights_${model}}
        ${out}/cuda_ids.txt ${out}/cuda_${model}.bits decode=${CUDA_DECODED} ${ARGN})
    set_tests_properties(${test} PROPERTIES FIXTURES_REQUIRED "cuda_${model};needle_folder"
        ENVIRONMENT "CUDA_EMU_MODE=${mode};CUDA_EMU_SEED=${seed}")
endfunction()

# Every few of the placements that bits.cmake has built, in turns with streams that run late, lazily,
# at random, at once.
set(CUDA_MODES late lazy random eager)
foreach(model every IN ZIP_LISTS CUDA_MODELS CUDA_EVERY)
    set(turn 0)
    hi_cuda_program(cuda_dump_${model} dump.c bits_${model} ${model})
    add_test(NAME cuda.${model}.reference COMMAND cuda_dump_${model} ${weights_${model}}
        ${out}/cuda_ids.txt ${out}/cuda_${model}.bits decode=${CUDA_DECODED})
    set_tests_properties(cuda.${model}.reference PROPERTIES FIXTURES_SETUP cuda_${model}
        FIXTURES_REQUIRED needle_folder ENVIRONMENT CUDA_EMU_MODE=eager)
    if(model MATCHES "gqa|mha")
        hi_cuda_same(cuda.${model}.rows_77 cuda_dump_${model} ${model} random 77 rows=77)
    endif()

    # Planned for the target: tokens are one graph each, recorded anew as the context grows.
    hi_placement(cuda_graph_${model} ${spec_${model}} none --ctx 2304 --logits all --target cuda)
    hi_cuda_program(cuda_dump_graph_${model} dump.c cuda_graph_${model} ${model})
    hi_cuda_same(cuda.${model}.graph cuda_dump_graph_${model} ${model} random 1)

    foreach(i IN LISTS placed_${model})
        math(EXPR turn "${turn} + 1")
        math(EXPR skip "${turn} % ${every}")
        if(skip)
            continue()
        endif()
        math(EXPR mode "${turn} / ${every} % 4")
        list(GET CUDA_MODES ${mode} mode)
        hi_cuda_program(cuda_dump_${model}_${i} dump.c bits_${model}_${i} ${model})
        hi_cuda_same(cuda.${model}.${i}.${mode} cuda_dump_${model}_${i} ${model} ${mode} ${i})
    endforeach()
endforeach()

# The reference that we did not write.
set(CUDA_GOLDEN ${GOLDEN_MODELS})
if(HI_SANITIZE)
    set(CUDA_GOLDEN gemma2_cap)
endif()
foreach(model ${CUDA_GOLDEN})
    foreach(budget none min)
        set(placement golden_${model}_bf16_${budget})
        set(round "")
        if(model STREQUAL "toy_mha")
            set(round round)
        endif()
        hi_cuda_program(cuda_test_${placement} golden_test.c ${placement} ${model})
        add_test(NAME cuda.golden.${model}.${budget}
            COMMAND cuda_test_${placement} ${golden_folders}/${model} ${round})
    endforeach()
endforeach()

# Layers with a window, with caps and every kind of norm: where all is resident, planned for the target,
# a token could be a graph, but for its windows.
add_custom_command(OUTPUT ${out}/cuda_window_ids.txt
    COMMAND awk "{ print \$1 % 199 + 1 }" ${out}/cuda_ids.txt > ${out}/cuda_window_ids.txt
    DEPENDS ${out}/cuda_ids.txt VERBATIM)
add_custom_target(cuda_window_ids ALL DEPENDS ${out}/cuda_window_ids.txt)
function(hi_cuda_window model budget mode)
    set(name cuda_window_${model}_${budget})
    hi_placement(${name} ${spec_${model}} ${budget} --ctx 2304 --logits all ${ARGN})
    hi_cuda_program(${name}_dump dump.c ${name} ${model})
    set(run ${weights_window} ${out}/cuda_window_ids.txt ${out}/cuda_window_${model}.bits decode=${CUDA_DECODED})
    if(mode STREQUAL "eager")
        add_test(NAME cuda.window.${model}.${budget} COMMAND ${name}_dump ${run})
        set_tests_properties(cuda.window.${model}.${budget} PROPERTIES FIXTURES_SETUP cuda_window_${model})
    else()
        add_test(NAME cuda.window.${model}.${budget} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:${name}_dump> ${run})
        set_tests_properties(cuda.window.${model}.${budget} PROPERTIES FIXTURES_REQUIRED cuda_window_${model})
    endif()
    set_property(TEST cuda.window.${model}.${budget} PROPERTY ENVIRONMENT "CUDA_EMU_MODE=${mode}")
endfunction()
set(weights_window random:9)
foreach(model gemma2_cap mistral_window)
    if(NOT HI_SANITIZE OR model STREQUAL "gemma2_cap")
        hi_cuda_window(${model} none eager)
        hi_cuda_window(${model} min lazy)
    endif()
    if(NOT HI_SANITIZE)
        hi_cuda_window(${model} 9 random --target cuda)
        hi_cuda_window(${model} 1.2 late)
    endif()
endforeach()

# On Hopper prefill attention is another kernel, with bits of its own; heads of 64 have it.
if(NOT HI_SANITIZE)
    set(hopper ${out}/cuda_hopper.bits)
    add_test(NAME cuda.hopper.reference COMMAND cuda_dump_needle ${weights_needle} ${out}/cuda_ids.txt
        ${hopper} decode=${CUDA_DECODED})
    set_tests_properties(cuda.hopper.reference PROPERTIES FIXTURES_SETUP cuda_hopper
        FIXTURES_REQUIRED needle_folder ENVIRONMENT "CUDA_EMU_CC=9.0;CUDA_EMU_MODE=eager")
    foreach(program cuda_dump_needle_12 cuda_dump_needle_24 cuda_dump_graph_needle)
        add_test(NAME cuda.hopper.${program} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:${program}>
            ${weights_needle} ${out}/cuda_ids.txt ${hopper} decode=${CUDA_DECODED})
        set_tests_properties(cuda.hopper.${program} PROPERTIES
            FIXTURES_REQUIRED "cuda_hopper;needle_folder" ENVIRONMENT "CUDA_EMU_CC=9.0")
    endforeach()
endif()

if(NOT HI_SANITIZE)                  # nothing of ours runs there that does not above
    # A GPU that the program carries no code for.
    add_test(NAME cuda.nvrtc COMMAND ${SH} ${e2e}/cuda_nvrtc.sh $<TARGET_FILE:cuda_dump_toy_gqa>
        ${weights_toy_gqa} ${out}/cuda_ids.txt ${out}/cuda_toy_gqa.bits decode=${CUDA_DECODED})
    set_tests_properties(cuda.nvrtc PROPERTIES FIXTURES_REQUIRED cuda_toy_gqa SKIP_RETURN_CODE 77)

    # The real thing, as far as a machine without a GPU goes.
    add_test(NAME cuda.build COMMAND ${SH} ${e2e}/cuda_build.sh $<TARGET_FILE:hi-gen> "${HI_HOME}"
        ${spec_needle} "${HI_NVCC}")
    set_tests_properties(cuda.build PROPERTIES SKIP_RETURN_CODE 77)
endif()

# The program's own check of itself.
hi_cuda_program(cuda_main_toy_gqa "${HI_HOME}/runtime/main.c" golden_toy_gqa_bf16_min toy_gqa)
add_test(NAME cuda.selftest COMMAND cuda_main_toy_gqa selftest)
set_tests_properties(cuda.selftest PROPERTIES PASS_REGULAR_EXPRESSION "selftest: passed")

include(cuda_more.cmake)

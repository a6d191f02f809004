# The host code of the cuda target beyond bits: counts, failures, faults. Included by cuda.cmake.
#
# Its tests run a few chunks of a small model under the emulated streams that run late, lazily, at
# random; nothing that is pageable may reach an asynchronous copy.

# A ring of tiles, and one that never fills; layers, hidden states and the embedding that come from
# the host; a graph; neither.
set(CUDA_SHORT --ctx 1024 --logits all --chunk 128)
hi_placement(cuda_ring ${spec_toy_gqa} none ${CUDA_SHORT} --target cuda --resident 1 --group 1 --tile 256 --slots 3)
hi_placement(cuda_wide ${spec_toy_gqa} none ${CUDA_SHORT} --target cuda --resident 1 --group 1 --tile 256 --slots 64)
hi_placement(cuda_panels ${spec_toy_gqa} none ${CUDA_SHORT} --target cuda --weights 0 --weight-slots 2 --panel 1
    --hidden host --embed host)
hi_placement(cuda_graph ${spec_toy_gqa} none ${CUDA_SHORT} --target cuda)
hi_placement(cuda_plain ${spec_toy_gqa} none ${CUDA_SHORT})

# The test program over a plan; 'sources' come before those of runtime and device.
add_library(cuda_test_main OBJECT cuda_test.c)
target_include_directories(cuda_test_main PRIVATE "${HI_HOME}/runtime" "${HI_HOME}/tests/emu")
hi_target_options(cuda_test_main)

function(hi_cuda_test_program name plan)
    hi_cuda_program(${name} $<TARGET_OBJECTS:cuda_test_main> cuda_${plan} toy_gqa)
    target_sources(${name} PRIVATE ${ARGN})
    target_link_options(${name} PRIVATE
        -Wl,--wrap=cudaStreamSynchronize -Wl,--wrap=cudaEventSynchronize)
endfunction()

function(hi_cuda_setting test mode)
    set_tests_properties(${test} PROPERTIES ENVIRONMENT "CUDA_EMU_PAGEABLE=0;CUDA_EMU_MODE=${mode}")
endfunction()

set(CUDA_PLANS ring panels graph)
set(CUDA_PLAN_MODES lazy late random)
foreach(plan mode IN ZIP_LISTS CUDA_PLANS CUDA_PLAN_MODES)
    hi_cuda_test_program(cuda_test_${plan} ${plan})
    foreach(what counts ends failures)
        add_test(NAME cuda.${what}.${plan} COMMAND cuda_test_${plan} ${what} random:1 7)
        hi_cuda_setting(cuda.${what}.${plan} ${mode})
    endforeach()
    add_test(NAME cuda.failures_all.${plan} COMMAND cuda_test_${plan} failures random:1 1 5)
    hi_cuda_setting(cuda.failures_all.${plan} ${mode})
    set_tests_properties(cuda.failures_all.${plan} PROPERTIES LABELS "long" TIMEOUT 1200)
endforeach()
foreach(test ends.panels ends.graph failures.panels failures.graph)      # ring's has most of it
    set_tests_properties(cuda.${test} PROPERTIES LABELS "long")
endforeach()

# A cancelled prompt leaves nothing behind.
set(recover_rounds 4)
if(HI_SANITIZE)
    set(recover_rounds 1)
endif()
foreach(plan mode IN ZIP_LISTS CUDA_PLANS CUDA_PLAN_MODES)
    hi_cuda_program(cuda_recover_${plan} recover_test.c cuda_${plan} toy_gqa)
    add_test(NAME cuda.recover.${plan} COMMAND cuda_recover_${plan} random:1 1
        rounds=${recover_rounds})
    hi_cuda_setting(cuda.recover.${plan} ${mode})
    set_tests_properties(cuda.recover.${plan} PROPERTIES TIMEOUT 120)
endforeach()

# ---- prompts, tokens and rewinds in turns; faults of the host code ----

set(faults "${e2e}/cuda_faults.sh")
hi_cuda_test_program(cuda_test_plain plain)
add_test(NAME cuda.chat.reference COMMAND cuda_test_plain chat random:1 ${out}/cuda_chat.txt)
set_tests_properties(cuda.chat.reference PROPERTIES FIXTURES_SETUP cuda_chat ENVIRONMENT CUDA_EMU_MODE=eager)

# Bytes that programs pin beside the store: bounce buffers, token ids, scores, a position.
math(EXPR CUDA_PINNED_usual "4 * (8 << 20) + 1024 * 4 + 128 * 320 * 4 + 8")
math(EXPR CUDA_PINNED_small "4 * (4 << 10) + 1024 * 4 + 128 * 320 * 4 + 8")

function(hi_cuda_chat name what program size)
    add_test(NAME ${name} COMMAND ${SH} ${faults} ${what} $<TARGET_FILE:${program}> random:1 ${out}/cuda_chat.txt
        ${CUDA_PINNED_${size}} ${ARGN})
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED cuda_chat TIMEOUT 300)
endfunction()

# The device with few slots: its sources, for inside.h is found beside them.
set(small "${out}/cuda_small")
add_custom_command(OUTPUT ${small}/inside.h
    COMMAND ${CMAKE_COMMAND} -E make_directory ${small}
    COMMAND ${SH} ${faults} small ${HI_HOME}/runtime/cuda/inside.h ${small}/inside.h
    DEPENDS ${faults} ${HI_HOME}/runtime/cuda/inside.h VERBATIM)
add_custom_target(cuda_small_h DEPENDS ${small}/inside.h)

function(hi_cuda_object name source)
    add_library(${name} OBJECT ${source})
    target_include_directories(${name} PRIVATE ${small_${name}} ${out}/shape_toy_gqa ${HI_HOME}/runtime
        ${HI_HOME}/runtime/cuda ${HI_HOME}/tests/emu/include)
    add_dependencies(${name} shape_h_toy_gqa cuda_small_h)
    hi_target_options(${name} HI_HARSH HI_TOOLKIT="${HI_CUDA_ROOT}")
endfunction()

set(CUDA_INSIDE device store queue load kernels graph compute)
foreach(part IN LISTS CUDA_INSIDE)
    add_custom_command(OUTPUT ${small}/${part}.c
        COMMAND ${SH} ${faults} small ${HI_HOME}/runtime/cuda/${part}.c ${small}/${part}.c
        DEPENDS ${faults} ${HI_HOME}/runtime/cuda/${part}.c ${small}/inside.h VERBATIM)
    set(small_cuda_small_${part} ${small})
    hi_cuda_object(cuda_small_${part} ${small}/${part}.c)
    list(APPEND small_objects $<TARGET_OBJECTS:cuda_small_${part}>)
endforeach()

set(CUDA_CHATS_ring hrandom:3)
set(CUDA_CHATS_panels plazy)
set(CUDA_CHATS_graph random:3)
foreach(plan IN LISTS CUDA_PLANS)
    hi_cuda_chat(cuda.chat.${plan} same cuda_test_${plan} usual ${CUDA_CHATS_${plan}})
    hi_cuda_chat(cuda.chat_all.${plan} same cuda_test_${plan} usual late lazy plate plazy hlazy random:1 prandom:2)
    set_tests_properties(cuda.chat_all.${plan} PROPERTIES LABELS "long")
endforeach()
foreach(plan ring panels graph)
    hi_cuda_test_program(cuda_test_small_${plan} ${plan} ${small_objects})
    hi_cuda_chat(cuda.chat.small_${plan} same cuda_test_small_${plan} small plazy)
endforeach()
set_tests_properties(cuda.chat.small_panels PROPERTIES LABELS "long")

# A line of cuda_faults.txt.
function(hi_cuda_fault name file plan runs fields)
    set(source "${out}/cuda_faults/${name}.c")
    set(target cuda_fault_${name})
    set(size usual)
    set(from ${HI_HOME}/runtime/${file})
    if(plan MATCHES "^small_(.*)")
        set(size small)
        set(plan ${CMAKE_MATCH_1})
        set(small_${target} ${small})
        get_filename_component(part ${file} NAME_WE)
        set(from ${small}/${part}.c)
        set(others ${small_objects})
        list(REMOVE_ITEM others $<TARGET_OBJECTS:cuda_small_${part}>)
    endif()
    add_custom_command(OUTPUT ${source}
        COMMAND ${CMAKE_COMMAND} -E make_directory ${out}/cuda_faults
        COMMAND ${SH} ${faults} make ${e2e}/cuda_faults.txt ${name} ${from} ${source}
        DEPENDS ${faults} ${e2e}/cuda_faults.txt ${from} VERBATIM)
    hi_cuda_object(${target} ${source})
    target_compile_options(${target} PRIVATE -Wno-unused)
    hi_cuda_test_program(${target}_test ${plan} $<TARGET_OBJECTS:${target}> ${others})
    hi_cuda_chat(cuda.faults.${name} catch ${target}_test ${size} ${runs})
    if(fields GREATER 4)
        set_tests_properties(cuda.faults.${name} PROPERTIES LABELS "long")
    endif()
endfunction()

if(NOT HI_SANITIZE)
    file(STRINGS cuda_faults.txt headers REGEX "^[a-z_]+ [|]")
    foreach(header IN LISTS headers)
        string(REPLACE " | " ";" header "${header}")
        list(GET header 0 name)
        list(GET header 1 file)
        list(GET header 2 plan)
        list(GET header 3 runs)
        separate_arguments(runs)
        list(LENGTH header fields)   # a fifth: long
        hi_cuda_fault(${name} ${file} ${plan} "${runs}" ${fields})
    endforeach()
endif()

# ---- the command line: what is refused, what is said ----

hi_placement(cuda_cli ${spec_toy_gqa} none --ctx 1024 --target cuda --resident 1 --group 1 --tile 256 --slots 3
    --chunk 128 --embed host)
hi_placement(cuda_cli_plain ${spec_toy_gqa} none --ctx 1024 --target cuda)
hi_cuda_program(cuda_program ${HI_HOME}/runtime/main.c cuda_cli toy_gqa)
hi_cuda_program(cuda_program_plain ${HI_HOME}/runtime/main.c cuda_cli_plain toy_gqa)
add_test(NAME cuda.refused COMMAND ${SH} ${e2e}/cuda_refused.sh $<TARGET_FILE:cuda_program>
    $<TARGET_FILE:cuda_program_plain> ${out}/cuda_ids.txt)

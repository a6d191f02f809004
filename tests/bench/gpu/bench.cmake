# Measurements on a GPU; included by tests/gpu, whose functions and folder they use. Built by pack.sh
# and './hi bench --gpu'. On the emulated GPU they are tests that measure nothing: one small size of
# each, so that they do not rot.
set(bench "${HI_HOME}/tests/bench/gpu")
set(bench_common "${bench}/bench_gpu.c")

file(MAKE_DIRECTORY "${folder}/bench")
foreach(script run.sh table.awk peers.py)
    configure_file("${bench}/${script}" "${folder}/bench/${script}" COPYONLY)
endforeach()

# Kernels of a shape that a gpu_library has.
function(gpu_bench_kernels name shape shape_folder)
    gpu_plain_program(${name} ${bench_common} "${bench}/bench_kernels.c"
        "${HI_HOME}/runtime/cuda/tensor_map.c")
    add_dependencies(${name} gpu_shape_h_${shape})
    target_include_directories(${name} PRIVATE "${shape_folder}")
    if(HI_GPU_EMULATED)
        target_link_libraries(${name} PRIVATE gpu_${shape})
    else()
        target_link_libraries(${name} PRIVATE gpu_device_${shape}_kernels)
    endif()
    set(programs ${programs} PARENT_SCOPE)
endfunction()

function(gpu_bench_program name placement shape)
    gpu_program(${name} ${placement} ${shape} ${ARGN})
    target_include_directories(${name} PRIVATE "${HI_HOME}/runtime/cuda")
    set(programs ${programs} PARENT_SCOPE)
endfunction()

set(tests_programs ${programs})
set(programs)
if(HI_GPU_EMULATED)
    set(tiny "BENCH_TINY=1;CUDA_EMU_MODE=eager;CUDA_EMU_CC=9.0")
    gpu_bench_kernels(bench_kernels_d64 needle "${out}/gpu_bits_needle")
    gpu_bench_program(bench_link gpu_needle_4k needle "${bench}/bench_link.c" ${bench_common}
        "${HI_HOME}/runtime/cuda/lt_load.h")
    gpu_bench_program(bench_model_tiny gpu_needle_4k needle "${bench}/bench_model.c")
    foreach(test "kernels_d64" "link" "model_tiny;tiny;4;500;1100;9999")
        list(POP_FRONT test program)
        add_test(NAME gpu.bench.${program} COMMAND bench_${program} ${test})
        set_tests_properties(gpu.bench.${program} PROPERTIES LABELS emulation ENVIRONMENT "${tiny}")
    endforeach()
else()
    # 400K tokens and some to decode; 100K within the same budget, as one would plan that.
    set(LONG 410112)
    set(SHORT 102656)
    set(spec "${HI_HOME}/specs/llama3_8b.lua")
    set(common --target cuda --machine h200)
    hi_placement(gpu_8b_resident ${spec} none ${common} --ctx ${LONG})
    hi_placement(gpu_8b_24g ${spec} none ${common} --vram 24G --ctx ${SHORT})
    hi_placement(gpu_8b_24g_long ${spec} none ${common} --vram 24G --ctx ${LONG})
    hi_placement(gpu_1b "${HI_HOME}/specs/llama3_2_1b.lua" none ${common})
    gpu_library(8b "${out}/gpu_8b_resident")
    add_custom_target(gpu_shape_h_1b DEPENDS "${out}/gpu_1b/shape.h")
    hi_cuda_kernels(gpu_device_1b_kernels "${out}/gpu_1b")
    add_dependencies(gpu_device_1b_kernels gpu_shape_h_1b)
    gpu_bench_kernels(bench_kernels_d128 8b "${out}/gpu_8b_resident")
    gpu_bench_kernels(bench_kernels_d64 1b "${out}/gpu_1b")
    foreach(plan resident 24g 24g_long)
        gpu_bench_program(bench_model_${plan} gpu_8b_${plan} 8b "${bench}/bench_model.c"
            "${bench}/bench_weights.c")
    endforeach()
    gpu_bench_program(bench_link gpu_8b_24g 8b "${bench}/bench_link.c" ${bench_common}
        "${HI_HOME}/runtime/cuda/lt_load.c")
    gpu_calls_cuda(bench_link)
endif()
add_custom_target(gpu_bench DEPENDS ${programs})

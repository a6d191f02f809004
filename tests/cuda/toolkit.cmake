# What needs the CUDA toolkit: kernels of every shape that the specs have, by nvcc and by NVRTC. Tests
# that find none are skipped, by name.
set(CI_ARCHS 80 90a 120)
set(ALL_ARCHS 80 86 89 90a 100 120)
if(NOT HI_NVCC)
    set(HI_NVCC "no-nvcc")
endif()

# One spec for each pair of head_dim and query heads to a KV head, and for what else kernels can have;
# all specs under cuda-all.
function(hi_compiled label spec)
    list(JOIN ARGN ",sm_" archs)
    set(path "${HI_HOME}/specs/${spec}.lua")
    if(spec MATCHES "^kernels_")
        set(path "${HI_HOME}/tests/specs/${spec}.lua")
    endif()
    add_test(NAME nvcc.${spec}${label} COMMAND sh "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/build.sh"
        $<TARGET_FILE:hi-gen> "${HI_HOME}" "${path}" "${HI_NVCC}" ${ARGN})
    add_test(NAME nvrtc.${spec}${label} COMMAND sh "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/check.sh"
        $<TARGET_FILE:hi-gen> "${path}" "sm_${archs}")
    set_tests_properties(nvcc.${spec}${label} nvrtc.${spec}${label} PROPERTIES SKIP_RETURN_CODE 77)
endfunction()

if(HI_SANITIZE)
    return()
endif()
foreach(spec llama3_8b llama3_2_1b needle kernels_gemma2 kernels_gemma2_128
        kernels_qwen3 kernels_phi3)
    hi_compiled("" ${spec} ${CI_ARCHS})
    hi_compiled(.all ${spec} ${ALL_ARCHS})
    set_tests_properties(nvcc.${spec}.all nvrtc.${spec}.all PROPERTIES LABELS "cuda-all;long")
endforeach()

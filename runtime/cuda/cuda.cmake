# cuda.cmake - how the cuda target's kernels and device are built. Needs runtime.cmake.
#
#   hi_cuda_device_library(TARGET FOLDER [CHECKS..])   once per shape; FOLDER holds shape.h
#
# HI_CUDA_ARCHS  architectures that the program carries; for others it asks NVRTC when it starts
# HI_CUDA        the toolkit's folder; else CUDA_HOME, CUDA_PATH, build/cuda or /usr/local/cuda
set(HI_CUDA_ARCHS "80;86;89;90a;100;120" CACHE STRING "CUDA architectures, without sm_")

foreach(root IN ITEMS "${HI_CUDA}" "$ENV{CUDA_HOME}" "$ENV{CUDA_PATH}" "${HI_HOME}/build/cuda" /usr/local/cuda)
    if(NOT HI_NVCC AND root AND EXISTS "${root}/bin/nvcc" AND EXISTS "${root}/include/cuda_runtime_api.h")
        set(HI_CUDA_ROOT "${root}")
        set(HI_NVCC "${root}/bin/nvcc")
        set(HI_CUDA_INCLUDE "${root}/include")
        find_library(HI_CUDART cudart_static PATHS "${root}/lib64" "${root}/lib" NO_DEFAULT_PATH)
    endif()
endforeach()

# What the kernels of a shape are made of: kernels.cu, then what it includes.
function(hi_cuda_parts list)
    set(c "${HI_HOME}/runtime/cuda")
    file(GLOB headers CONFIGURE_DEPENDS "${c}/*.cuh" "${c}/gpu*.h" "${c}/args.h" "${c}/geometry.h")
    set(${list} "${c}/kernels.cu" ${headers} PARENT_SCOPE)
endfunction()

# The kernels of one shape as a fat binary, and their sources, in an object file.
function(hi_cuda_kernels target folder)
    set(c "${HI_HOME}/runtime/cuda")
    set(image "${CMAKE_CURRENT_BINARY_DIR}/${target}.fatbin")
    foreach(arch IN LISTS HI_CUDA_ARCHS)
        list(APPEND code -gencode "arch=compute_${arch},code=sm_${arch}")
    endforeach()
    hi_cuda_parts(parts)
    add_custom_command(OUTPUT ${image}
        COMMAND ${HI_NVCC} -std=c++17 -O3 ${code} -fatbin -Werror all-warnings
            -I${folder} -I${c} ${c}/kernels.cu -o ${image}
        DEPENDS ${parts} ${folder}/shape.h
        VERBATIM)
    add_custom_command(OUTPUT ${target}.S
        COMMAND ${CMAKE_COMMAND} -DIMAGE=${image} -DOUT=${target}.S "-DARCHS=${HI_CUDA_ARCHS}"
            "-DSOURCES=${parts};${folder}/shape.h" -P ${c}/image.cmake
        DEPENDS ${image} ${c}/image.cmake
        VERBATIM)
    set_source_files_properties(${CMAKE_CURRENT_BINARY_DIR}/${target}.S PROPERTIES
        LANGUAGE C COMPILE_OPTIONS "-xassembler" OBJECT_DEPENDS ${image})
    add_library(${target} STATIC ${target}.S)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
endfunction()

# Every source of the device but what stands for the library of products: that one differs in tests.
function(hi_cuda_device_sources target folder)
    set(c "${HI_HOME}/runtime/cuda")
    target_sources(${target} PRIVATE ${c}/device.c ${c}/store.c ${c}/queue.c ${c}/load.c
        ${c}/kernels.c ${c}/tensor_map.c ${c}/nvrtc.c ${c}/cubin_cache.c ${c}/lt.c ${c}/graph.c ${c}/compute.c)
    target_include_directories(${target} PRIVATE "${folder}" "${HI_HOME}/runtime" "${c}")
    hi_target_options(${target} HI_TOOLKIT="${HI_CUDA_ROOT}" ${ARGN})
endfunction()

function(hi_cuda_device_library target folder)
    if(NOT HI_NVCC)
        message(FATAL_ERROR "the cuda target needs nvcc of CUDA 13: './hi toolkit' installs it; "
            "or set CUDA_HOME")
    endif()
    hi_cuda_kernels(${target}_kernels "${folder}")
    add_library(${target} STATIC "${HI_HOME}/runtime/cuda/lt_load.c")
    hi_cuda_device_sources(${target} "${folder}" ${ARGN})
    target_include_directories(${target} SYSTEM PRIVATE "${HI_CUDA_INCLUDE}")
    target_link_libraries(${target} PUBLIC ${target}_kernels ${HI_CUDART} Threads::Threads
        ${CMAKE_DL_LIBS} rt m)
endfunction()

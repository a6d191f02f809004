# runtime.cmake - how the runtime, the kernels of one shape and a model's executable are built.
#
# Included by emitted projects and by build-models/. HI_HOME is hi-gen's folder.
#
#   hi_files_library(TARGET)                              once; the runtime's is HI_FILES, or 'files'
#   hi_runtime_library(TARGET [CHECKS..])                 once
#   hi_kernel_library(TARGET FOLDER)                      once per shape; FOLDER holds shape.h
#   hi_device_library(TARGET FOLDER KERNELS [CHECKS..])   once per shape
#   hi_model_executable(NAME FOLDER RUNTIME DEVICE)       once per plan
#
# CHECKS: definitions for test builds, HI_HARSH (scrambled host memory, poisoned memory, random
# delays) and HI_GUARD (no allocation during a pass).

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_FLAGS_RELEASE "-O2")
set(HI_WARNINGS -Wall -Wextra -Werror)

find_package(Threads REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(JANSSON REQUIRED IMPORTED_TARGET jansson)
# Part of the program where it can be: then it runs where only libc is.
find_library(HI_JANSSON libjansson.a HINTS ${JANSSON_LIBRARY_DIRS} ${JANSSON_LIBDIR})
if(NOT HI_JANSSON)
    set(HI_JANSSON PkgConfig::JANSSON)
endif()
pkg_check_modules(PCRE2 REQUIRED IMPORTED_TARGET libpcre2-8)
find_library(HI_PCRE2 libpcre2-8.a HINTS ${PCRE2_LIBRARY_DIRS} ${PCRE2_LIBDIR})
if(NOT HI_PCRE2)
    set(HI_PCRE2 PkgConfig::PCRE2)
endif()
pkg_check_modules(UTF8PROC REQUIRED IMPORTED_TARGET libutf8proc)
find_library(HI_UTF8PROC libutf8proc.a HINTS ${UTF8PROC_LIBRARY_DIRS} ${UTF8PROC_LIBDIR})
if(NOT HI_UTF8PROC)
    set(HI_UTF8PROC PkgConfig::UTF8PROC)
endif()

# Instruction sets and their flags: KERN_TABLES of kern.h; elsewhere the portable kernels alone.
set(HI_KERNELS kern_portable)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    set(HI_FLAGS_kern_avx2 -mavx2 -mfma -mf16c)
    set(HI_FLAGS_kern_avx512 -march=x86-64-v4)
    set(HI_FLAGS_kern_avx512bf16 -march=x86-64-v4 -mavx512bf16)
    set(HI_FLAGS_kern_amx -march=x86-64-v4 -mavx512bf16 -mavx512vbmi -mamx-tile -mamx-bf16)
    list(APPEND HI_KERNELS kern_avx2 kern_avx512 kern_avx512bf16 kern_amx)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64")
    set(HI_FLAGS_kern_neon -march=armv8-a -fno-schedule-insns)   # else tiles spill
    set(HI_FLAGS_kern_neonbf16 -march=armv8.2-a+bf16)
    list(APPEND HI_KERNELS kern_neon kern_neonbf16)
endif()

# Products and sums are fused where the source says so, not wherever the processor can.
function(hi_target_options target)
    target_compile_options(${target} PRIVATE ${HI_WARNINGS} -ffp-contract=off)
    target_compile_definitions(${target} PRIVATE _GNU_SOURCE ${ARGN})
endfunction()

# What reads a checkpoint's files: JSON, safetensors, tokenizer, chat template, how to choose tokens.
# Also the generator's.
function(hi_files_library target)
    set(r "${HI_HOME}/runtime")
    add_library(${target} STATIC ${r}/infile.c ${r}/safetensors.c ${r}/convert.c ${r}/tokenizer.c ${r}/tok_added.c
        ${r}/tok_bpe.c ${r}/tok_bpe_load.c ${r}/tok_decode.c ${r}/tok_file.c ${r}/tok_merges.c
        ${r}/tok_normalize.c ${r}/tok_post.c ${r}/tok_regex.c ${r}/tok_split.c ${r}/tok_stream.c
        ${r}/tok_text.c ${r}/tok_vocab.c ${r}/jinja_heap.c ${r}/jinja_lex.c ${r}/jinja_expr.c
        ${r}/jinja_parse.c ${r}/jinja_value.c ${r}/jinja_text.c ${r}/jinja_eval.c ${r}/jinja_exec.c
        ${r}/jinja_call.c ${r}/jinja_filter.c ${r}/jinja_select.c ${r}/jinja_method.c
        ${r}/jinja_test.c ${r}/jinja_json.c ${r}/chat_template.c ${r}/generation_config.c)
    set_source_files_properties(${r}/convert.c PROPERTIES COMPILE_OPTIONS -O3)
    target_include_directories(${target} PUBLIC ${r} ${JANSSON_INCLUDE_DIRS} ${PCRE2_INCLUDE_DIRS}
        ${UTF8PROC_INCLUDE_DIRS})
    target_link_libraries(${target} PUBLIC ${HI_JANSSON} ${HI_PCRE2} ${HI_UTF8PROC} m)
    hi_target_options(${target})
endfunction()

function(hi_runtime_library target)
    set(r "${HI_HOME}/runtime")
    if(CMAKE_BUILD_TYPE STREQUAL "Debug")
        list(APPEND ARGN HI_GUARD)
    endif()
    if(NOT HI_FILES)
        set(HI_FILES files)
    endif()
    if(NOT TARGET ${HI_FILES})
        hi_files_library(${HI_FILES})
    endif()
    add_library(${target} STATIC ${r}/run.c ${r}/pass.c ${r}/kv.c ${r}/ring.c ${r}/weight_ring.c
        ${r}/hidden.c ${r}/steps.c ${r}/attend.c ${r}/memory.c ${r}/guard.c ${r}/weights.c
        ${r}/pieces.c ${r}/random_weights.c ${r}/sample.c ${r}/stop.c
        ${r}/interrupt.c ${r}/answer.c ${r}/conversation.c ${r}/chat.c ${r}/perplexity.c ${r}/bench.c
        ${r}/cli.c ${r}/prompt.c ${r}/progress.c ${r}/forecast.c ${r}/generate.c ${r}/selftest.c
        ${r}/cpu/pool.c ${r}/cpu/stream.c)
    set_source_files_properties(${r}/random_weights.c PROPERTIES COMPILE_OPTIONS -O3)
    target_link_libraries(${target} PUBLIC ${HI_FILES} Threads::Threads)
    hi_target_options(${target} ${ARGN})
    if("HI_GUARD" IN_LIST ARGN)
        target_link_options(${target} PUBLIC
            -Wl,--wrap=malloc -Wl,--wrap=calloc -Wl,--wrap=realloc -Wl,--wrap=free)
    endif()
endfunction()

# HI_TABLES: the instruction sets to build for, best first; all of them where it is not set.
function(hi_kernel_library target folder)
    set(c "${HI_HOME}/runtime/cpu")
    set(kernels ${HI_KERNELS})
    set(optimise -O3)
    if(HI_SANITIZE)
        set(optimise -O1)            # sanitized, inlined code takes minutes to compile at -O3
    endif()
    add_library(${target} STATIC ${c}/kern.c ${c}/kern_pack.c)
    if(HI_TABLES)
        list(TRANSFORM HI_TABLES PREPEND "kern_" OUTPUT_VARIABLE kernels)
        list(TRANSFORM HI_TABLES REPLACE "(.+)" "T(\\1)" OUTPUT_VARIABLE tables)
        list(JOIN tables " " tables)
        target_compile_options(${target} PRIVATE "-DKERN_TABLES(T)=${tables}")
    endif()
    foreach(k ${kernels} kern_quant)
        target_sources(${target} PRIVATE ${c}/${k}.c)
        set_source_files_properties(${c}/${k}.c PROPERTIES
            COMPILE_OPTIONS "${optimise};${HI_FLAGS_${k}}")
    endforeach()
    target_include_directories(${target} PRIVATE "${folder}" "${HI_HOME}/runtime")
    target_link_libraries(${target} PUBLIC Threads::Threads m)
    hi_target_options(${target})
endfunction()

function(hi_device_library target folder kernels)
    add_library(${target} STATIC "${HI_HOME}/runtime/cpu/device.c")
    target_include_directories(${target} PRIVATE "${folder}" "${HI_HOME}/runtime")
    target_link_libraries(${target} PUBLIC ${kernels})
    hi_target_options(${target} ${ARGN})
endfunction()

# The plan's own code, for programs that bring their own main.
function(hi_model_objects name folder)
    add_library(${name}_plan OBJECT ${folder}/model.c ${folder}/prefill.c ${folder}/decode.c)
    target_include_directories(${name}_plan PUBLIC "${folder}" "${HI_HOME}/runtime")
    hi_target_options(${name}_plan)
endfunction()

function(hi_model_executable name folder runtime device)
    hi_model_objects(${name} "${folder}")
    add_executable(${name} "${HI_HOME}/runtime/main.c")
    target_link_libraries(${name} PRIVATE ${name}_plan ${runtime} ${device} ${runtime})
    hi_target_options(${name})
endfunction()

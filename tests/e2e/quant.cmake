# Weights of 8 and 4 bits: their error on the toys of golden.cmake, and bits that no placement changes.
#
# A plan with weights as stored, over a checkpoint of the elements that the quantised ones stand for
# (unquantise.c), is the reference of every line of quantised.txt.
file(STRINGS quantised.txt quantised REGEX "^[^#]")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS quantised.txt)

foreach(model toy_wide toy_mha toy_gqa_f32)
    foreach(type q8 q4)
        set(name ${type}_${model})
        set(common ${COMMON} --numerics ${numerics_${model}} --weights-type ${type})
        set(reference ${out}/${name}.bits)
        hi_placement(unquantise_${name} ${spec_${model}} none ${common})
        hi_program(run_unquantise_${name} unquantise.c unquantise_${name} ${model} plain)
        add_test(NAME quant.${model}.${type}.folder
            COMMAND run_unquantise_${name} ${weights_${model}} ${out}/${name}_folder)
        set_tests_properties(quant.${model}.${type}.folder PROPERTIES FIXTURES_SETUP folder_${name})
        add_test(NAME quant.${model}.${type}.reference
            COMMAND dump_${model} ${out}/${name}_folder ${out}/ids.txt ${reference} decode=${DECODED} threads=1)
        set_tests_properties(quant.${model}.${type}.reference PROPERTIES
            FIXTURES_REQUIRED folder_${name} FIXTURES_SETUP bits_${name})
        set(i 0)
        foreach(line IN LISTS quantised)
            string(REPLACE "|" ";" parts "${line}")
            list(TRANSFORM parts STRIP)
            list(GET parts 0 of)
            if(NOT of STREQUAL model)
                continue()
            endif()
            list(GET parts 1 budget)
            list(GET parts 2 options)
            list(GET parts 3 run)
            separate_arguments(options)
            separate_arguments(run)
            math(EXPR i "${i} + 1")
            math(EXPR odd "${i} % 2")
            set(kind plain)
            if(NOT odd)
                set(kind harsh)
            endif()
            hi_placement(${name}_${i} ${spec_${model}} ${budget} ${common} ${options})
            hi_program(dump_${name}_${i} dump.c ${name}_${i} ${model} ${kind})
            add_test(NAME quant.${model}.${type}.${i}.${kind} COMMAND ${SH} ${e2e}/same.sh
                $<TARGET_FILE:dump_${name}_${i}> ${weights_${model}} ${out}/ids.txt ${reference}
                decode=${DECODED} ${run})
            set_tests_properties(quant.${model}.${type}.${i}.${kind} PROPERTIES
                FIXTURES_REQUIRED bits_${name} LABELS "threads")
        endforeach()
    endforeach()
endforeach()

# Scores beside the reference's: float32 plans show the weights' error alone.
set(QUANT_GOLDEN toy_gqa:f32 toy_mha:f32 toy_llama3:bf16)
if(NOT HI_SANITIZE)
    list(APPEND QUANT_GOLDEN qwen2_bias:bf16 qwen3_norm:f32 gemma2_cap:bf16 phi3_short:f32)
endif()
foreach(pair IN LISTS QUANT_GOLDEN)
    string(REPLACE ":" ";" pair "${pair}")
    list(GET pair 0 model)
    list(GET pair 1 numerics)
    set(shape ${model})
    if(numerics STREQUAL "f32")
        set(shape ${model}_f32)
    endif()
    foreach(type q8 q4)
        set(name golden_${model}_${type})
        hi_placement(${name} ${spec_${model}} none --numerics ${numerics} --logits all --ctx 1024
            --weights-type ${type})
        hi_program(test_${name} golden_test.c ${name} ${shape} plain)
        add_test(NAME quant.golden.${model}.${type} COMMAND test_${name} ${golden_folders}/${model})
    endforeach()
endforeach()

# Bit-equality: every placement gives the reference's scores.
#
# placements.txt and panels.txt: budget | hi-gen options | run options. The lines of placements.txt
# serve all models but the deep one, which has those of panels.txt; every second one runs harsh (scrambled store,
# poisoned slots, random delays, guarded heap).
set(TOKENS 2200)
set(DECODED 64)
set(COMMON --ctx 2304 --logits all)

file(STRINGS placements.txt placements REGEX "^[^#]")
file(STRINGS panels.txt panels REGEX "^[^#]")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS placements.txt panels.txt)
# All placements of two models, one for each list, which thus have every pair of values; a third of the
# others'. Fewer under sanitizers.
set(BITS_MODELS needle toy_gqa toy_gqa_f32 toy_mha toy_wide)
if(HI_SANITIZE STREQUAL "thread")
    set(BITS_EVERY 9 7 9 9 8)
elseif(HI_SANITIZE)
    set(BITS_EVERY 7 5 7 7 5)
else()
    set(BITS_EVERY 3 1 3 3 1)
endif()

add_custom_command(OUTPUT ${out}/ids.txt
    COMMAND awk "BEGIN { s = 7; for (i = 0; i < ${TOKENS}; i++) { s = (s * 16807) % 2147483647; print s % 255 + 1 } }"
        > ${out}/ids.txt VERBATIM)
add_custom_target(bits_ids ALL DEPENDS ${out}/ids.txt)

add_test(NAME bits.pairs COMMAND awk -v "names=budget group tile slots chunk threads gbps" -v least=200
    -f ${e2e}/pairs.awk ${e2e}/placements.txt)
add_test(NAME bits.pairs_panels COMMAND awk
    -v "names=budget group tile bands slots chunk panel weights weight-slots hidden embed threads gbps" -v least=400
    -f ${e2e}/pairs.awk ${e2e}/panels.txt)

foreach(model every IN ZIP_LISTS BITS_MODELS BITS_EVERY)
    set(common ${COMMON} --numerics ${numerics_${model}})
    math(EXPR half "${kv_heads_${model}} / 2")
    hi_placement(bits_${model} ${spec_${model}} none ${common})
    hi_program(dump_${model} dump.c bits_${model} ${model} plain)
    set(reference ${out}/${model}.bits)
    add_test(NAME bits.${model}.reference COMMAND dump_${model} ${weights_${model}} ${out}/ids.txt ${reference}
        decode=${DECODED} threads=1)
    set_tests_properties(bits.${model}.reference PROPERTIES FIXTURES_SETUP bits_${model}
        FIXTURES_REQUIRED needle_folder LABELS "threads")
    foreach(rows 1 77)
        add_test(NAME bits.${model}.rows_${rows} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:dump_${model}>
            ${weights_${model}} ${out}/ids.txt ${reference} decode=${DECODED} threads=2 rows=${rows})
        set_tests_properties(bits.${model}.rows_${rows} PROPERTIES FIXTURES_REQUIRED "bits_${model};needle_folder")
    endforeach()

    # --logits last: one row a pass; prompt's last row and the decoded rows are the same.
    hi_placement(bits_${model}_last ${spec_${model}} 1.3 --ctx 2304 --numerics ${numerics_${model}})
    hi_program(dump_bits_${model}_last dump.c bits_${model}_last ${model} harsh)
    math(EXPR bytes "(${DECODED} + 1) * ${vocab_${model}} * 4")
    add_test(NAME bits.${model}.last COMMAND ${SH} ${e2e}/same_end.sh $<TARGET_FILE:dump_bits_${model}_last>
        ${weights_${model}} ${out}/ids.txt ${reference} ${bytes} decode=${DECODED} threads=2)
    set_tests_properties(bits.${model}.last PROPERTIES FIXTURES_REQUIRED "bits_${model};needle_folder")

    set(lines ${placements})
    if(model STREQUAL "toy_wide")
        set(lines ${panels})
    endif()
    set(i 0)
    foreach(line IN LISTS lines)
        math(EXPR i "${i} + 1")
        math(EXPR skip "${i} % ${every}")
        if(skip)
            continue()
        endif()
        string(REPLACE "|" ";" parts "${line}")
        list(GET parts 0 budget)
        list(GET parts 1 options)
        list(GET parts 2 run)
        string(STRIP "${budget}" budget)
        string(REPLACE "--group K" "--group ${kv_heads_${model}}" options "${options}")
        string(REPLACE "--group H" "--group ${half}" options "${options}")
        separate_arguments(options)
        separate_arguments(run)
        set(name bits_${model}_${i})
        list(APPEND placed_${model} ${i})
        hi_placement(${name} ${spec_${model}} ${budget} ${common} ${options})
        math(EXPR odd "${i} % 2")
        if(odd)
            set(kind harsh)
        else()
            set(kind plain)
        endif()
        hi_program(dump_${name} dump.c ${name} ${model} ${kind})
        add_test(NAME bits.${model}.${i}.${kind} COMMAND ${SH} ${e2e}/same.sh $<TARGET_FILE:dump_${name}>
            ${weights_${model}} ${out}/ids.txt ${reference} decode=${DECODED} ${run})
        set_tests_properties(bits.${model}.${i}.${kind} PROPERTIES
            FIXTURES_REQUIRED "bits_${model};needle_folder" LABELS "threads")
    endforeach()
endforeach()

# Fault injection: a schedule with one fault gives other bits. Otherwise the tests of bits.cmake
# could not fail either.
#
# hi_fault_base(BASE MODEL BUDGET RUN OPTIONS..) is a placement and its positive control: without
# a fault, at the same link speed, it gives the reference's bits. hi_fault(NAME BASE FILE SED)
# is the same with one fault in an emitted file, hi_link_fault(NAME BASE DEFINITIONS..) with one
# in the runtime's copies. Each runs RUNS times: races are caught every time, or the test is not
# worth having. Decoding begins at token 760 and crosses a split, so that rows it stored are
# read back.
#
# Not here, for no bit can show them:
# - await of a later copy's slot, or of any slot while the ring is full: copies end in order,
#   so that is a longer wait;
# - await_store deleted in decode: a tail's row is written anew 512 tokens later.
set(RUNS 3)
set(SHORT 900)
set(fault_options decode=140 threads=2)

add_custom_command(OUTPUT ${out}/ids_short.txt COMMAND head -n ${SHORT} ${out}/ids.txt > ${out}/ids_short.txt
    DEPENDS ${out}/ids.txt VERBATIM)
add_custom_target(faults_ids ALL DEPENDS ${out}/ids_short.txt)
foreach(model toy_gqa toy_mha)
    add_test(NAME faults.${model}.reference COMMAND dump_${model} ${weights_${model}} ${out}/ids_short.txt
        ${out}/${model}_short.bits decode=140 threads=1)
    set_tests_properties(faults.${model}.reference PROPERTIES FIXTURES_SETUP faults_${model} LABELS "threads")
endforeach()

add_library(dump_harsh OBJECT dump.c)
target_include_directories(dump_harsh PRIVATE "${HI_HOME}/runtime")
hi_target_options(dump_harsh)

function(hi_fault_program name placement base)
    add_executable(${name} $<TARGET_OBJECTS:dump_harsh>)
    target_link_libraries(${name} PRIVATE
        ${placement}_plan runtime_harsh dev_${fault_model_${base}}_harsh runtime_harsh)
endfunction()

function(hi_fault_test name script base program)
    set(model ${fault_model_${base}})
    add_test(NAME ${name} COMMAND ${SH} ${e2e}/repeat.sh ${RUNS} ${SH} ${e2e}/${script}
        $<TARGET_FILE:${program}> ${weights_${model}} ${fault_ids_${base}} ${fault_options} ${fault_run_${base}})
    set_tests_properties(${name} PROPERTIES FIXTURES_REQUIRED "bits_${model};faults_${model};needle_folder"
        TIMEOUT 100)
    if(base MATCHES "^(wide|slow|stores|early|ring|panels)")     # races against the link: nothing beside them
        set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
    endif()
endfunction()

function(hi_fault_base base model budget run)
    set(length _short)
    if("long" IN_LIST run)
        set(length "")
        list(REMOVE_ITEM run long)
    endif()
    set(fault_model_${base} ${model} PARENT_SCOPE)
    set(fault_model_${base} ${model})
    set(fault_run_${base} ${run} PARENT_SCOPE)
    set(fault_run_${base} ${run})
    set(fault_ids_${base} ${out}/ids${length}.txt ${out}/${model}${length}.bits)
    set(fault_ids_${base} ${fault_ids_${base}} PARENT_SCOPE)
    hi_placement(fault_${base} ${spec_${model}} ${budget} ${COMMON} ${ARGN})
    hi_fault_program(dump_fault_${base} fault_${base} ${base})
    hi_fault_test(faults.${base}.none same.sh ${base} dump_fault_${base})
endfunction()

function(hi_fault name base file script)
    set(folder "${out}/fault_${base}_${name}")
    set(from "${out}/fault_${base}")
    add_custom_command(
        OUTPUT ${folder}/model.c ${folder}/prefill.c ${folder}/decode.c ${folder}/shape.h ${folder}/model.h
        COMMAND ${SH} ${e2e}/mutate.sh ${from} ${folder} ${file} "${script}"
        DEPENDS ${e2e}/mutate.sh ${from}/model.c ${from}/prefill.c ${from}/decode.c ${from}/model.h ${from}/shape.h
        VERBATIM)
    hi_model_objects(fault_${base}_${name} "${folder}")
    hi_fault_program(dump_fault_${base}_${name} fault_${base}_${name} ${base})
    hi_fault_test(faults.${base}.${name} differs.sh ${base} dump_fault_${base}_${name})
endfunction()

function(hi_link_program name base)
    add_executable(${name} $<TARGET_OBJECTS:dump_harsh> faults_link.c)
    target_link_libraries(${name} PRIVATE
        fault_${base}_plan runtime_harsh dev_${fault_model_${base}}_harsh runtime_harsh)
    target_link_options(${name} PRIVATE -Wl,--wrap=dev_start -Wl,--wrap=stream_open)
    target_include_directories(${name} PRIVATE "${HI_HOME}/runtime/cpu")
    hi_target_options(${name} ${ARGN})
endfunction()

function(hi_link_fault name base)
    hi_link_program(dump_fault_${base}_${name} ${base} ${ARGN})
    hi_fault_test(faults.${base}.${name} differs.sh ${base} dump_fault_${base}_${name})
endfunction()

# ---- without a fault: a ring of three slots, one head at a time; stores slower than tiles ----

hi_fault_base(gqa toy_gqa none "gbps=0.2" --resident 1 --group 1 --tile 256 --slots 3 --chunk 256)
hi_fault_base(early toy_gqa none "gbps=1;decode=2" --resident 1 --group 1 --tile 256 --slots 64 --chunk 256)
hi_link_program(dump_fault_early_slow early SLOW_STORE)
hi_fault_test(faults.early.slow_store same.sh early dump_fault_early_slow)
set_tests_properties(faults.gqa.none faults.early.slow_store PROPERTIES LABELS "threads")
if(HI_SANITIZE)                      # a fault is not to be caught by chance
    return()
endif()

# ---- the ring of three slots ----

hi_fault_base(mha toy_mha none "gbps=0.2" --resident 1 --group 1 --tile 256 --slots 3 --chunk 256)

foreach(phase prefill decode)
    foreach(base gqa mha)
        hi_fault(${phase}_attend_other_slot ${base} ${phase}.c "s/(attend\\(.*, )SLOT\\)/\\1(r->turn + 1) % N_SLOTS)/")
        hi_fault(${phase}_store_deleted ${base} ${phase}.c "/ store\\(r, 1\\)/d")
    endforeach()
    hi_fault(${phase}_refill_deleted gqa ${phase}.c "/ refill\\(/d")
    # The ring is turned before the tile has been read: the slot's place in the ring is one back.
    hi_fault(${phase}_refill_first gqa ${phase}.c
        "/ attend\\(/{s/SLOT\\)/(r->turn + N_SLOTS - 1) % N_SLOTS)/;h;d};/ refill\\(/G")
    hi_fault(${phase}_newest_deleted gqa ${phase}.c "/ attend_newest\\(r, 1, 0/d")
    hi_fault(${phase}_tile_fewer gqa ${phase}.c "s/(attend_resident\\(r, 1, 0, 1, )256\\)/\\10)/")
    hi_fault(${phase}_tile_more gqa ${phase}.c "s/(attend_resident\\(r, 1, 0, 1, )256\\)/\\1512)/")
    hi_fault(${phase}_loop_late gqa ${phase}.c "s/int64_t t = 256;/int64_t t = 512;/")
    hi_fault(${phase}_open_deleted gqa ${phase}.c "/ open_heads\\(r, 1, 1/d")
    hi_fault(${phase}_close_deleted gqa ${phase}.c "/ close_heads\\(r, 1, 1/d")
endforeach()
hi_fault(ring_swapped gqa model.c "s/\\[L01_H0\\] = /[L01_H1_] = /;s/\\[L01_H1\\] = /[L01_H0] = /;s/L01_H1_/L01_H1/")
hi_fault(ring_layers_swapped mha model.c "s/\\[L00_H2\\] = /[L01_H2_] = /;s/\\[L01_H2\\] = /[L00_H2] = /;s/L01_H2_/L01_H2/")
hi_link_fault(copy_dropped gqa FAULT=DROP)
hi_link_fault(copy_stale gqa FAULT=STALE)

# ---- a link slower than attention, and rings that are never full: the slot before is stale ----

hi_fault_base(wide toy_gqa none "gbps=0.004;decode=20" --resident 1 --group 1 --tile 256 --slots 64 --chunk 256)
hi_fault_base(slow toy_mha none "gbps=0.004;decode=20" --resident 1 --group 2 --tile 256 --slots 3 --chunk 256)
foreach(phase prefill decode)
    foreach(base wide slow)
        hi_fault(${phase}_await_deleted ${base} ${phase}.c "/ await\\(/d")
    endforeach()
endforeach()
hi_fault(prefill_await_other_slot wide prefill.c "s/ await\\(r, SLOT\\)/ await(r, (r->turn + N_SLOTS - 1) % N_SLOTS)/")
hi_fault(decode_await_other_slot wide decode.c "s/ await\\(r, SLOT\\)/ await(r, (r->turn + N_SLOTS - 1) % N_SLOTS)/")

# ---- stores that are slower than the layers: what the window and the tiles of the next pass need ----

hi_fault_base(stores toy_gqa none "gbps=0.002;decode=2" --resident 0 --group 1 --tile 256 --slots 64 --chunk 256)
hi_fault(await_store_deleted stores prefill.c "/ await_store\\(/d")

hi_link_fault(copy_early early FAULT=EARLY SLOW_STORE)

# ---- weights that come through a ring, once a chunk; and once a prompt, panel by panel ----

hi_fault_base(ring toy_gqa none "gbps=0.01;decode=20" --weights 0 --weight-slots 2 --panel 3 --chunk 256)
hi_fault_base(panels toy_gqa none "gbps=0.01;decode=20" --weights 0 --weight-slots 2 --panel 1 --hidden host --chunk 256)
foreach(phase prefill decode)
    hi_fault(${phase}_await_weights_deleted ring ${phase}.c "/ await_weights\\(/d")
    hi_fault(${phase}_refill_weights_deleted ring ${phase}.c "/ refill_weights\\(r, 1/d")
    hi_fault(${phase}_refill_weights_first ring ${phase}.c "/ refill_weights\\(/d;s/( await_weights)(.*)/\\1\\2 refill_weights\\2/")
endforeach()
hi_fault(await_weights_deleted panels prefill.c "/ await_weights\\(/d")
hi_fault(retire_weights_deleted panels prefill.c "/ retire_weights\\(r, [01]/d")
hi_fault(retired_at_once panels prefill.c "s/ retire_weights\\(/ refill_weights(/")
hi_fault(put_hidden_deleted panels prefill.c "/ put_hidden\\(/d")
hi_fault(take_hidden_deleted panels prefill.c "/ take_hidden\\(/d")
hi_fault(panels_swapped panels prefill.c 
    "/panel_0.\\(r\\)/{s/_01\\(/_0_(/;s/_02\\(/_01(/;s/_0_\\(/_02(/}")

# ---- decode keeps more rows than prefill ----

hi_fault_base(settle toy_gqa 1.1 "long;gbps=1;decode=4" --weights 3 --group 2 --tile 256 --slots 3 --chunk 512
    --mlp-rows 512)
hi_fault(deleted settle decode.c "/ settle\\(r, 1,/d")
hi_fault(last settle decode.c "/ settle\\(r, 1,/s/ 2304\\)/ 1792)/")
hi_fault(first settle decode.c "/ settle\\(r, 1,/s/ 512, 2304\\)/ 768, 2304)/")
hi_fault(tile_fewer settle decode.c "s/(attend_resident\\(r, 1, 0, 2, )2304\\)/\\11792)/")

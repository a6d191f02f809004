# What a user does with a program: conversations, perplexity, bench, and a prompt that is cancelled.
# The programs of cli.cmake and the placements of walk.cmake are used here, too.

add_test(NAME chat.session COMMAND ${SH} ${e2e}/chat_test.sh $<TARGET_FILE:program_cli_needle> ${weights_needle})
set_tests_properties(chat.session PROPERTIES FIXTURES_REQUIRED needle_folder TIMEOUT 120)

# A checkpoint folder with a template: the needle's, and how it is spoken to.
set(chat_folder ${out}/chat_folder)
add_test(NAME chat.folder COMMAND ${SH} ${e2e}/chat_folder.sh ${weights_needle} ${chat_folder})
set_tests_properties(chat.folder PROPERTIES FIXTURES_REQUIRED needle_folder FIXTURES_SETUP chat_folder)

# Ids of answers with what a conversation keeps, and from nothing. Hot: the needle's scores are far apart.
foreach(placement 0 1 3)
    set(program conversation_needle_${placement})
    hi_program(${program} conversation_test.c walk_needle_${placement} needle plain)
    target_include_directories(${program} PRIVATE ${JANSSON_INCLUDE_DIRS})
    add_test(NAME chat.kept.${placement} COMMAND ${program} ${chat_folder} --temp 0 --ignore-eos)
    add_test(NAME chat.kept_hot.${placement} COMMAND ${program} ${chat_folder} --temp 60 --top-k 0 --top-p 0.99
        --repeat-penalty 1.1 --seed 7)
    set_tests_properties(chat.kept.${placement} chat.kept_hot.${placement} PROPERTIES
        FIXTURES_REQUIRED chat_folder LABELS "threads")
endforeach()

# Cancelled prompts: whatever of the rings, panels and tails was under way.
set(rounds 24)
if(HI_SANITIZE STREQUAL "thread")
    set(rounds 6)
endif()
set(recover_0 "threads=1|plain")
set(recover_1 "threads=2|harsh")
set(recover_2 "threads=2 gbps=2|plain")
set(recover_3 "threads=2|harsh")
set(recover_4 "threads=2|harsh")
set(recover_5 "threads=2 gbps=1|plain")
set(RECOVER_MODELS needle toy_gqa gemma2_cap)
if(HI_SANITIZE STREQUAL "thread")
    set(RECOVER_MODELS needle gemma2_cap)
endif()
foreach(model ${RECOVER_MODELS})
    foreach(placement 0 1 2 3 4 5)
        string(REPLACE "|" ";" parts "${recover_${placement}}")
        list(GET parts 0 run)
        list(GET parts 1 kind)
        separate_arguments(run)
        set(program recover_${model}_${placement})
        hi_program(${program} recover_test.c walk_${model}_${placement} ${model} ${kind})
        add_test(NAME recover.${model}.${placement} COMMAND ${program} ${weights_${model}} 1 rounds=${rounds} ${run})
        set_tests_properties(recover.${model}.${placement} PROPERTIES FIXTURES_REQUIRED needle_folder
            LABELS "threads" TIMEOUT 120)
    endforeach()
endforeach()

# Perplexity: the program with all scores, in passes of several and of odd sizes.
hi_placement(ppl_needle ${spec_needle} min --ctx 1024 --tile 256 --chunk 128 --logits all)
hi_program(program_ppl_needle ${HI_HOME}/runtime/main.c ppl_needle needle plain)
hi_program(perplexity_test perplexity_test.c ppl_needle needle plain)
add_test(NAME perplexity COMMAND ${SH} ${e2e}/perplexity_test.sh $<TARGET_FILE:program_ppl_needle>
    $<TARGET_FILE:perplexity_test> $<TARGET_FILE:program_cli_needle> ${weights_needle})
set_tests_properties(perplexity PROPERTIES FIXTURES_REQUIRED needle_folder TIMEOUT 120)

add_executable(bench_test bench_test.c)
target_include_directories(bench_test PRIVATE "${HI_HOME}/runtime" ${JANSSON_INCLUDE_DIRS})
target_link_libraries(bench_test PRIVATE ${HI_JANSSON} m)
hi_target_options(bench_test)
add_test(NAME bench COMMAND ${SH} ${e2e}/bench_test.sh $<TARGET_FILE:program_cli_needle> $<TARGET_FILE:bench_test>)
set_tests_properties(bench PROPERTIES TIMEOUT 120)

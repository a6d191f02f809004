# Published models at full size, with random weights. Label big: some minutes and gigabytes.
foreach(line "llama3_2_1b 900M" "qwen2_5_0_5b 420M" "qwen3_0_6b 480M")
    separate_arguments(line)
    list(GET line 0 spec)
    list(GET line 1 budget)
    add_test(NAME big.${spec} COMMAND ${SH} ${e2e}/big.sh $<TARGET_FILE:hi-gen> ${HI_HOME} ${spec} ${budget})
    set_tests_properties(big.${spec} PROPERTIES LABELS "big" TIMEOUT 1800)
endforeach()

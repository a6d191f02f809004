# Command lines: of an emitted program, and of hi-gen.
hi_placement(cli_needle ${spec_needle} min --ctx 2304 --tile 256 --chunk 256)
hi_program(program_cli_needle ${HI_HOME}/runtime/main.c cli_needle needle plain)
add_test(NAME cli.program COMMAND ${SH} ${e2e}/cli_test.sh $<TARGET_FILE:program_cli_needle> ${weights_needle})
set_tests_properties(cli.program PROPERTIES FIXTURES_REQUIRED needle_folder TIMEOUT 120
    LABELS "threads")
add_test(NAME cli.hi_gen COMMAND ${SH} ${e2e}/gen_cli_test.sh $<TARGET_FILE:hi-gen> ${HI_HOME})
set_tests_properties(cli.hi_gen PROPERTIES TIMEOUT 120)

# Command lines: of an emitted program, and of hi-gen.
hi_placement(cli_needle ${spec_needle} min --ctx 2304 --tile 256 --chunk 256)
hi_program(program_cli_needle ${HI_HOME}/runtime/main.c cli_needle needle plain)
add_test(NAME cli.program COMMAND ${SH} ${e2e}/cli_test.sh $<TARGET_FILE:program_cli_needle> ${weights_needle})
set_tests_properties(cli.program PROPERTIES FIXTURES_REQUIRED needle_folder TIMEOUT 120)
add_test(NAME cli.hi_gen COMMAND ${SH} ${e2e}/gen_cli_test.sh $<TARGET_FILE:hi-gen> ${HI_HOME})
add_test(NAME cli.import COMMAND ${SH} ${e2e}/import_test.sh $<TARGET_FILE:hi-gen> ${HI_HOME})
set_tests_properties(cli.hi_gen cli.import PROPERTIES TIMEOUT 120)

# Planning and emitting a 70B stays below 64 MB of resident memory, the sandbox's child included.
if(NOT HI_SANITIZE)
    add_executable(rss_test rss_test.c)
    hi_target_options(rss_test)
    add_test(NAME cli.rss COMMAND rss_test 64 $<TARGET_FILE:hi-gen> ${HI_HOME}/specs/llama3_70b.lua --vram 24G
        --ctx 4194304 --group 1 --tile 16384 --bands 4 --panel 1 --out ${out}/rss)
endif()

# The start of a program, with every allocation, mapping and thread failing in turn.
hi_placement(ladder_needle ${spec_needle} min --ctx 2304 --tile 256 --chunk 256)
hi_program(test_ladder ladder_test.c ladder_needle needle plain)
foreach(symbol malloc calloc realloc free mmap munmap pthread_create pthread_join)
    target_link_options(test_ladder PRIVATE -Wl,--wrap=${symbol})
endforeach()
add_test(NAME e2e.ladder COMMAND test_ladder ${weights_needle})
set_tests_properties(e2e.ladder PROPERTIES FIXTURES_REQUIRED needle_folder TIMEOUT 120)

# Retrieval: the needle model finds what it must and nothing else, in tight placements.
#
# hi_needle(NAME PLACEMENT MODE [options..]) is one run; needle_test.c has the modes. Most
# lengths are not multiples of the split, so that questions begin inside one.
function(hi_needle_program placement budget)
    hi_placement(${placement} ${spec_needle} ${budget} ${ARGN})
    hi_program(test_${placement} needle_test.c ${placement} needle plain)
    target_link_libraries(test_${placement} PRIVATE needle)
    target_link_options(test_${placement} PRIVATE
        -Wl,--wrap=norm_qkv -Wl,--wrap=norm_kv -Wl,--wrap=dev_place -Wl,--wrap=dev_attend)
endfunction()

function(hi_needle name placement mode)
    add_test(NAME needle.${name} COMMAND test_${placement} ${mode} ${weights_needle} ${ARGN})
    set_tests_properties(needle.${name} PROPERTIES
        FIXTURES_REQUIRED needle_folder SKIP_RETURN_CODE 77 TIMEOUT 300)
endfunction()

if(HI_SANITIZE STREQUAL "thread")
    set(most 1000)
else()
    set(most 4000)
endif()

hi_needle_program(needle_1k min --ctx 1280)
hi_needle_program(needle_4k 1.2 --ctx 4352 --tile 512 --group 2)
hi_needle_program(needle_none none --ctx 4352)
hi_needle_program(needle_odd min --ctx 4352 --tile 512 --chunk 384 --group 2)
hi_needle_program(needle_wide min --ctx 4352 --tile 768 --chunk 640)
hi_needle_program(needle_256 min --ctx 4352 --tile 256 --chunk 256)

hi_needle_program(needle_panels min --ctx 4352 --weights 0 --panel 1 --hidden host --chunk 384)
hi_needle_program(needle_bands min --ctx 4352 --tile 1024 --group 1 --bands 4)

hi_needle(find_1k needle_1k find tokens=1021 hays=2)
hi_needle(find_resident needle_none find tokens=${most})
hi_needle(passkey needle_4k passkey tokens=${most})
hi_needle(borders_odd needle_odd borders tokens=2200)
hi_needle(borders_wide needle_wide borders tokens=1500)
hi_needle(borders_256 needle_256 borders tokens=1400)
hi_needle(borders_panels needle_panels borders tokens=1900)
hi_needle(passkey_bands needle_bands passkey tokens=${most})
hi_needle(blind needle_256 blind tokens=1500)
hi_needle(absent needle_4k absent tokens=${most})
hi_needle(damage needle_4k damage tokens=${most})
set_tests_properties(needle.find_1k needle.blind PROPERTIES LABELS "threads")

# 64K tokens within 12 MiB, as './hi demo'; skipped where bf16 products are slow.
if(NOT HI_SANITIZE)
    hi_needle(find_4k needle_4k find tokens=4093 hays=3)
    hi_needle(find_portable needle_1k find tokens=1000 isa=portable)
    hi_needle_program(needle_16k min --ctx 16640)
    hi_needle_program(needle_64k none --vram 12M --ctx 65552)
    hi_needle(find_16k needle_16k find tokens=16381)
    hi_needle(find_64k needle_64k find tokens=65529 slow=16384)
endif()

# image.cmake - writes the assembly that puts kernels into an object file: their machine code as
# hi_kernels_image, the architectures it is for, and their SOURCES for NVRTC.
set(text "")
set(table "")
set(i 0)
foreach(source IN LISTS SOURCES)
    cmake_path(GET source FILENAME name)
    string(APPEND text "name_${i}:\n    .asciz \"${name}\"\ntext_${i}:\n    .incbin \"${source}\"\n    .byte 0\n")
    string(APPEND table "    .quad name_${i}, text_${i}\n")
    math(EXPR i "${i} + 1")
endforeach()
string(REPLACE ";" " " archs "${ARCHS}")
file(WRITE "${OUT}" "    .section .rodata
    .balign 64
    .globl hi_kernels_image
hi_kernels_image:
    .incbin \"${IMAGE}\"
    .globl hi_kernels_archs
hi_kernels_archs:
    .asciz \"${archs}\"
${text}
    .section .data.rel.ro, \"aw\"
    .balign 8
    .globl hi_kernels_sources
hi_kernels_sources:
${table}    .quad 0
    .section .note.GNU-stack, \"\", @progbits
")

# image.cmake - writes the assembly that puts IMAGE into an object file as hi_kernels_image.
file(WRITE "${OUT}" "/* ${IMAGE} */
    .section .rodata
    .balign 64
    .globl hi_kernels_image
hi_kernels_image:
    .incbin \"${IMAGE}\"
    .section .note.GNU-stack, \"\", @progbits
")

# program.cmake - the program that measures a GPU, over a device of the cuda target.
#
#   hi_calibrate_program(NAME DEVICE FOLDER)    FOLDER holds the device's shape.h
set(calibrate "${CMAKE_CURRENT_LIST_DIR}")

function(hi_calibrate_program name device folder)
    add_executable(${name} ${calibrate}/main.c ${calibrate}/rounds.c ${calibrate}/pieces.c
        ${calibrate}/beside.c)
    target_include_directories(${name} PRIVATE "${folder}" "${HI_HOME}/runtime")
    target_link_libraries(${name} PRIVATE ${device})
    hi_target_options(${name})
endfunction()

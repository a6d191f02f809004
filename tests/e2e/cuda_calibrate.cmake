# hi-gen calibrate --target cuda: the program that measures a GPU, on the emulated one, with a toy's
# shape. Needs cuda.cmake's device of that shape.
include("${HI_HOME}/gen/calibrate/cuda/program.cmake")

hi_calibrate_program(calibrate_toy cuda_toy_gqa "${out}/shape_toy_gqa")
add_executable(cuda_calibrate_test cuda_calibrate_test.c "${HI_HOME}/gen/calibrate/cuda/pieces.c")
target_include_directories(cuda_calibrate_test PRIVATE "${out}/shape_toy_gqa"
    "${HI_HOME}/gen/calibrate/cuda" "${HI_HOME}/runtime")
target_link_libraries(cuda_calibrate_test PRIVATE cuda_toy_gqa)
hi_target_options(cuda_calibrate_test)
foreach(program calibrate_toy cuda_calibrate_test)
    target_link_libraries(${program} PRIVATE runtime)
    set_target_properties(${program} PROPERTIES LINKER_LANGUAGE C)
    add_dependencies(${program} shape_h_toy_gqa)
endforeach()

add_test(NAME cuda.calibrate_pieces COMMAND cuda_calibrate_test)
# What hi-gen asks the driver.
add_library(fake_driver SHARED fake_driver.c)
set_target_properties(fake_driver PROPERTIES PREFIX "" OUTPUT_NAME libcuda SUFFIX .so.1
    LIBRARY_OUTPUT_DIRECTORY "${out}/driver")
hi_target_options(fake_driver)

add_test(NAME cuda.calibrate COMMAND ${SH} ${e2e}/cuda_calibrate.sh $<TARGET_FILE:hi-gen>
    $<TARGET_FILE:calibrate_toy> ${spec_toy_gqa} $<TARGET_FILE_DIR:fake_driver>)

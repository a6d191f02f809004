# The budget is a wall: no byte is written beyond what was planned, in any placement.
if(HI_SANITIZE STREQUAL "thread")
    set(wall_ctx 1280)
else()
    set(wall_ctx 2304)
endif()

foreach(model needle toy_gqa toy_mha)
    foreach(budget min 1.5 3 none)   # the last two hold everything
        set(streams "")
        if(budget STREQUAL "min")
            set(streams streams)
        endif()
        set(name wall_${model}_${budget})
        hi_placement(${name} ${spec_${model}} ${budget} --ctx ${wall_ctx})
        hi_program(test_${name} wall_test.c ${name} ${model} harsh)
        add_test(NAME wall.${model}.${budget} COMMAND test_${name} ${weights_${model}} ${streams})
        set_tests_properties(wall.${model}.${budget} PROPERTIES FIXTURES_REQUIRED needle_folder)
    endforeach()
    set_tests_properties(wall.${model}.min PROPERTIES LABELS "threads")
endforeach()

# Weights and hidden states outside, panel by panel.
hi_placement(wall_panels ${spec_toy_wide} min --ctx ${wall_ctx} --weights 2 --panel 2 --hidden host --embed host)
hi_program(test_wall_panels wall_test.c wall_panels toy_wide harsh)
add_test(NAME wall.panels COMMAND test_wall_panels ${weights_toy_wide} streams)

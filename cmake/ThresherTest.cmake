# Test executables and their ctest entries; see tests/CMakeLists.txt for the arguments.
set(THRESHER_MPIRUN_FLAGS --oversubscribe --allow-run-as-root --bind-to none
    CACHE STRING "Flags for mpirun in tests (Open MPI's by default)")

function(thresher_set_test_properties entries timeout labels)
    set(environment "OMP_NUM_THREADS=1;OMPI_MCA_rmaps_base_oversubscribe=1")
    if(THRESHER_SANITIZE)
        # Open MPI and LibTorch keep what they allocate at start until the process ends.
        list(APPEND environment "ASAN_OPTIONS=detect_leaks=0;UBSAN_OPTIONS=print_stacktrace=1")
        math(EXPR timeout "10 * ${timeout}")
    endif()
    set_tests_properties(${entries} PROPERTIES TIMEOUT ${timeout} LABELS "${labels}"
                         ENVIRONMENT "${environment}")
endfunction()

function(thresher_add_test name)
    cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;RANKS;LABELS" ${ARGN})
    if(NOT arg_TIMEOUT)
        set(arg_TIMEOUT 120)
    endif()
    add_executable(test_${name} ${arg_SOURCES})
    target_link_libraries(test_${name} PRIVATE thresher_science thresher_flags ${arg_LIBRARIES})
    if(NOT arg_RANKS)
        target_link_libraries(test_${name} PRIVATE thresher_catch_main)
        add_test(NAME ${name} COMMAND test_${name})
        set(entries ${name})
    else()
        target_link_libraries(test_${name} PRIVATE thresher_mpi_catch_main)
        foreach(ranks IN LISTS arg_RANKS)
            add_test(NAME ${name}_${ranks}
                     COMMAND ${MPIEXEC_EXECUTABLE} ${THRESHER_MPIRUN_FLAGS} -n ${ranks}
                             $<TARGET_FILE:test_${name}>)
            set_tests_properties(${name}_${ranks} PROPERTIES PROCESSORS 2)
            list(APPEND entries ${name}_${ranks})
        endforeach()
    endif()
    thresher_set_test_properties("${entries}" ${arg_TIMEOUT} "${arg_LABELS}")
endfunction()

# thresher_add_exit_test(<name> EXIT_CODE <n> [OUTPUT <regex>] [LABELS ...] COMMAND <command>...)
function(thresher_add_exit_test name)
    cmake_parse_arguments(arg "" "EXIT_CODE;OUTPUT" "LABELS;COMMAND" ${ARGN})
    add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} "-DEXIT_CODE=${arg_EXIT_CODE}"
             "-DOUTPUT=${arg_OUTPUT}" -P "${CMAKE_SOURCE_DIR}/tests/support/expect_exit.cmake" --
             ${arg_COMMAND})
    thresher_set_test_properties(${name} 120 "${arg_LABELS}")
endfunction()

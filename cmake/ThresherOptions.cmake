# Options take AUTO, ON or OFF. ON fails where the thing is missing; AUTO takes it where it is found.
include(CMakeDependentOption)

function(thresher_tristate name default description)
    set(${name} ${default} CACHE STRING "${description} (AUTO, ON, OFF)")
    set_property(CACHE ${name} PROPERTY STRINGS AUTO ON OFF)
    string(TOUPPER "${${name}}" value)
    if(NOT value MATCHES "^(AUTO|ON|OFF)$")
        message(FATAL_ERROR "${name} is \"${${name}}\"; allowed: AUTO, ON, OFF")
    endif()
    set(${name} ${value} CACHE STRING "${description} (AUTO, ON, OFF)" FORCE)
endfunction()

thresher_tristate(THRESHER_CUDA AUTO "CUDA device code and the NCCL collective")
thresher_tristate(THRESHER_CCACHE AUTO "Compile through ccache")
thresher_tristate(THRESHER_MOLD AUTO "Link with mold")
option(THRESHER_TESTS "Build the tests" ON)
option(THRESHER_BENCH "Build the benchmarks" ON)
option(THRESHER_WERROR "Treat compiler warnings as errors" OFF)
set(THRESHER_SANITIZE "" CACHE STRING "Sanitizers to build with, for example address,undefined")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()

if(NOT THRESHER_CCACHE STREQUAL "OFF")
    find_program(THRESHER_CCACHE_PROGRAM ccache)
    if(THRESHER_CCACHE_PROGRAM)
        # The sloppiness that ccache needs to handle precompiled headers; and what the compiler says it read, where ccache
        # would run the preprocessor to find out.
        set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env CCACHE_DEPEND=1
            CCACHE_SLOPPINESS=pch_defines,time_macros "${THRESHER_CCACHE_PROGRAM}")
    elseif(THRESHER_CCACHE STREQUAL "ON")
        message(FATAL_ERROR "THRESHER_CCACHE=ON, but ccache was not found; install it or set AUTO")
    endif()
endif()

# thresher_add_library(<name> <sources>...): a static library with the project's warnings and standard.
add_library(thresher_flags INTERFACE)
target_compile_features(thresher_flags INTERFACE cxx_std_20)
target_compile_options(thresher_flags INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-Wall;-Wextra;-Wpedantic;-Wshadow;-Wconversion;-Wnon-virtual-dtor>
    $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${THRESHER_WERROR}>>:-Werror>)
if(THRESHER_SANITIZE)
    # No vptr: it needs the typeinfo of every class it meets, and LibTorch keeps some of its own hidden.
    target_compile_options(thresher_flags INTERFACE -fsanitize=${THRESHER_SANITIZE} -fno-sanitize=vptr
                           -fno-omit-frame-pointer -fno-sanitize-recover=all)
    target_link_options(thresher_flags INTERFACE -fsanitize=${THRESHER_SANITIZE})
endif()
if(NOT THRESHER_MOLD STREQUAL "OFF")
    find_program(THRESHER_MOLD_PROGRAM mold)
    if(THRESHER_MOLD_PROGRAM)
        target_link_options(thresher_flags INTERFACE -fuse-ld=mold)
    elseif(THRESHER_MOLD STREQUAL "ON")
        message(FATAL_ERROR "THRESHER_MOLD=ON, but mold was not found; install it or set AUTO")
    endif()
endif()

set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

function(thresher_add_library name)
    add_library(thresher_${name} STATIC ${ARGN})
    add_library(thresher::${name} ALIAS thresher_${name})
    set_target_properties(thresher_${name} PROPERTIES EXPORT_NAME ${name})
    target_include_directories(thresher_${name} PUBLIC
        "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>" "$<INSTALL_INTERFACE:include/thresher>")
    target_compile_features(thresher_${name} PUBLIC cxx_std_20)
    target_link_libraries(thresher_${name} PUBLIC $<BUILD_INTERFACE:thresher_flags>)
endfunction()

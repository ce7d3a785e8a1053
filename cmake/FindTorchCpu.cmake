# Target thresher_torch: LibTorch's torch_cpu and c10, from a PyPI wheel or any LibTorch prefix.
#
# The wheel's own CMake package asks for a whole CUDA toolkit even where only CPU code is wanted, so
# its two libraries are found directly. CUDA kernels are loaded at run time (see FindCudaNccl.cmake).
find_path(THRESHER_TORCH_INCLUDE_DIR torch/csrc/api/include/torch/torch.h
          HINTS "${CMAKE_SOURCE_DIR}/.venv"
          PATHS ${CMAKE_PREFIX_PATH} "${CMAKE_SOURCE_DIR}/.venv"
          PATH_SUFFIXES include
                        lib/python3.11/site-packages/torch/include
                        lib/python3.12/site-packages/torch/include
                        lib/python3.13/site-packages/torch/include
                        lib/python3.10/site-packages/torch/include
          NO_CMAKE_SYSTEM_PATH NO_SYSTEM_ENVIRONMENT_PATH)
if(NOT THRESHER_TORCH_INCLUDE_DIR)
    if(EXISTS "/usr/include/torch/csrc/api/include/torch/torch.h")
        message(FATAL_ERROR
                "Only the distribution's own LibTorch (package libtorch-dev) was found. It lacks what "
                "Thresher needs and its libraries shadow the wheel's: apt-get remove libtorch-dev, "
                "then bash jobs/setup.sh, or pass -DCMAKE_PREFIX_PATH=/path/to/libtorch")
    endif()
    message(FATAL_ERROR
            "No LibTorch >= 2.7 was found. Run bash jobs/setup.sh (it makes .venv with the PyPI wheel) "
            "or pass -DCMAKE_PREFIX_PATH=/path/to/libtorch (for a wheel: the torch folder itself)")
endif()
cmake_path(GET THRESHER_TORCH_INCLUDE_DIR PARENT_PATH THRESHER_TORCH_ROOT)
foreach(library IN ITEMS torch_cpu c10)
    find_library(THRESHER_${library}_LIBRARY ${library} PATHS "${THRESHER_TORCH_ROOT}/lib"
                 NO_DEFAULT_PATH)
    if(NOT THRESHER_${library}_LIBRARY)
        message(FATAL_ERROR "lib${library}.so is missing in ${THRESHER_TORCH_ROOT}/lib; the LibTorch "
                            "there is incomplete: install the wheel again (bash jobs/setup.sh)")
    endif()
endforeach()
if(EXISTS "/usr/lib/${CMAKE_CXX_LIBRARY_ARCHITECTURE}/libtorch_cpu.so")
    message(FATAL_ERROR "The distribution's libtorch is installed beside the LibTorch at "
                        "${THRESHER_TORCH_ROOT}; at run time its libraries shadow it and the program "
                        "aborts: apt-get remove libtorch-dev 'libtorch*'")
endif()

file(STRINGS "${THRESHER_TORCH_INCLUDE_DIR}/torch/headeronly/version.h" version_lines
     REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
if(NOT version_lines)
    file(STRINGS "${THRESHER_TORCH_INCLUDE_DIR}/torch/csrc/api/include/torch/version.h" version_lines
         REGEX "define TORCH_VERSION_(MAJOR|MINOR|PATCH)")
endif()
string(REGEX REPLACE "[^0-9;]" "" THRESHER_TORCH_VERSION "${version_lines}")
list(JOIN THRESHER_TORCH_VERSION "." THRESHER_TORCH_VERSION)
if(THRESHER_TORCH_VERSION VERSION_LESS 2.7)
    message(FATAL_ERROR "LibTorch ${THRESHER_TORCH_VERSION} at ${THRESHER_TORCH_ROOT} is too old; "
                        "Thresher needs 2.7 or later")
endif()

# Wheels keep the CUDA runtime and CUPTI, which libtorch_cpu needs, in nvidia/ beside torch/.
cmake_path(GET THRESHER_TORCH_ROOT PARENT_PATH torch_site)
file(GLOB THRESHER_TORCH_RPATH LIST_DIRECTORIES true "${torch_site}/nvidia/*/lib"
     "${torch_site}/nvidia/*/*/lib")
list(PREPEND THRESHER_TORCH_RPATH "${THRESHER_TORCH_ROOT}/lib")

add_library(thresher_torch INTERFACE)
# Searched last: the wheel brings headers of fmt, protobuf and others, which are not the ones linked here.
target_compile_options(thresher_torch INTERFACE
    "SHELL:-idirafter \"${THRESHER_TORCH_INCLUDE_DIR}\""
    "SHELL:-idirafter \"${THRESHER_TORCH_INCLUDE_DIR}/torch/csrc/api/include\"")
target_link_libraries(thresher_torch INTERFACE "${THRESHER_torch_cpu_LIBRARY}"
                                               "${THRESHER_c10_LIBRARY}")
list(JOIN THRESHER_TORCH_RPATH ":" rpath_joined)
target_link_options(thresher_torch INTERFACE "LINKER:-rpath,${rpath_joined}"
                    "LINKER:-rpath-link,${rpath_joined}")

# The wheel says which C++ ABI it was built with; Thresher uses the new one throughout.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_INCLUDES "${THRESHER_TORCH_INCLUDE_DIR}")
set(CMAKE_REQUIRED_LIBRARIES "${THRESHER_c10_LIBRARY}")
set(CMAKE_REQUIRED_LINK_OPTIONS "-Wl,-rpath-link,${rpath_joined}")
set(CMAKE_REQUIRED_FLAGS "-std=c++20")
check_cxx_source_compiles("
    #include <c10/util/Exception.h>
    int main() { c10::Error error({__func__, __FILE__, 1}, std::string(\"abi\")); return 0; }
" THRESHER_TORCH_ABI_MATCHES)
unset(CMAKE_REQUIRED_INCLUDES)
unset(CMAKE_REQUIRED_LIBRARIES)
unset(CMAKE_REQUIRED_LINK_OPTIONS)
unset(CMAKE_REQUIRED_FLAGS)
if(NOT THRESHER_TORCH_ABI_MATCHES)
    message(FATAL_ERROR "LibTorch at ${THRESHER_TORCH_ROOT} does not link with std::string of this "
                        "compiler (the pre-C++11 ABI?). Use a wheel >= 2.7, or a libtorch built with "
                        "_GLIBCXX_USE_CXX11_ABI=1")
endif()

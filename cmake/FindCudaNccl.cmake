# THRESHER_HAVE_CUDA, and target thresher_nccl, where a CUDA toolkit, NCCL and a LibTorch with CUDA are found.
#
# The device code becomes a shared library of its own, libthresher_cuda.so, which the program loads
# when it runs on a GPU. So one build serves machines with and without one, and CPU start-up stays short.
set(THRESHER_HAVE_CUDA FALSE)
if(NOT THRESHER_CUDA STREQUAL "OFF")
    find_package(CUDAToolkit QUIET)
    if(CUDAToolkit_FOUND)
        cmake_path(GET THRESHER_TORCH_ROOT PARENT_PATH torch_site)
        find_path(NCCL_INCLUDE_DIR nccl.h HINTS "${torch_site}/nvidia/nccl/include"
                  ${CUDAToolkit_INCLUDE_DIRS})
        find_library(NCCL_LIBRARY NAMES nccl libnccl.so.2 HINTS "${torch_site}/nvidia/nccl/lib"
                     ${CUDAToolkit_LIBRARY_DIR})
        find_library(THRESHER_torch_cuda_LIBRARY torch_cuda PATHS "${THRESHER_TORCH_ROOT}/lib"
                     NO_DEFAULT_PATH)
        find_library(THRESHER_c10_cuda_LIBRARY c10_cuda PATHS "${THRESHER_TORCH_ROOT}/lib"
                     NO_DEFAULT_PATH)
        if(NCCL_INCLUDE_DIR AND NCCL_LIBRARY AND THRESHER_torch_cuda_LIBRARY)
            set(THRESHER_HAVE_CUDA TRUE)
            add_library(thresher_nccl INTERFACE)
            target_include_directories(thresher_nccl SYSTEM INTERFACE "${NCCL_INCLUDE_DIR}")
            target_link_libraries(thresher_nccl INTERFACE "${NCCL_LIBRARY}" CUDA::cudart)
        endif()
    endif()
    if(THRESHER_CUDA STREQUAL "ON" AND NOT THRESHER_HAVE_CUDA)
        message(FATAL_ERROR "THRESHER_CUDA=ON, but a CUDA toolkit (found: ${CUDAToolkit_FOUND}), NCCL "
                            "(nccl.h: ${NCCL_INCLUDE_DIR}, library: ${NCCL_LIBRARY}) or LibTorch's "
                            "libtorch_cuda.so is missing; see docs/install.md, section CUDA")
    endif()
endif()

# Everything Thresher depends on. Each missing package is named together with what provides it.
find_package(Threads REQUIRED)

set(MPI_CXX_SKIP_MPICXX ON)  # the bindings of MPI-2 for C++, which are no more, but which mpi.h brings
find_package(MPI COMPONENTS CXX)
if(NOT MPI_CXX_FOUND)
    message(FATAL_ERROR "No MPI was found. Debian and Ubuntu: apt-get install libopenmpi-dev; "
                        "a cluster: load the site's MPI module before configuring")
endif()

include(FindParallelHdf5)
include(FindTorchCpu)

foreach(package IN ITEMS CLI11 spdlog fmt nlohmann_json pugixml PNG JPEG ZLIB)
    find_package(${package} QUIET)
    if(NOT ${package}_FOUND)
        message(FATAL_ERROR "${package} was not found. docs/install.md lists the packages: "
                            "apt-get install libcli11-dev libspdlog-dev libfmt-dev "
                            "nlohmann-json3-dev libpugixml-dev libpng-dev libjpeg-dev zlib1g-dev")
    endif()
endforeach()

find_path(RANDOM123_INCLUDE_DIR Random123/philox.h)
find_path(HIGHWAY_INCLUDE_DIR hwy/highway.h)
find_library(HIGHWAY_LIBRARY hwy)
find_path(XXHASH_INCLUDE_DIR xxhash.h)
find_library(XXHASH_LIBRARY xxhash)
foreach(found IN ITEMS RANDOM123_INCLUDE_DIR HIGHWAY_INCLUDE_DIR HIGHWAY_LIBRARY XXHASH_INCLUDE_DIR
                       XXHASH_LIBRARY)
    if(NOT ${found})
        message(FATAL_ERROR "${found} was not found. Debian and Ubuntu: "
                            "apt-get install librandom123-dev libhwy-dev libxxhash-dev")
    endif()
endforeach()

find_path(SENTENCEPIECE_INCLUDE_DIR sentencepiece_trainer.h)
find_library(SENTENCEPIECE_LIBRARY sentencepiece)
find_library(SENTENCEPIECE_TRAIN_LIBRARY sentencepiece_train)
foreach(found IN ITEMS SENTENCEPIECE_INCLUDE_DIR SENTENCEPIECE_LIBRARY SENTENCEPIECE_TRAIN_LIBRARY)
    if(NOT ${found})
        message(FATAL_ERROR "${found} was not found. Debian and Ubuntu: "
                            "apt-get install libsentencepiece-dev; elsewhere: build SentencePiece "
                            "and pass -DCMAKE_PREFIX_PATH=its prefix")
    endif()
endforeach()

add_library(thresher_random123 INTERFACE)
target_include_directories(thresher_random123 SYSTEM INTERFACE "${RANDOM123_INCLUDE_DIR}")
add_library(thresher_highway INTERFACE)
target_include_directories(thresher_highway SYSTEM INTERFACE "${HIGHWAY_INCLUDE_DIR}")
target_link_libraries(thresher_highway INTERFACE "${HIGHWAY_LIBRARY}")
add_library(thresher_xxhash INTERFACE)
target_include_directories(thresher_xxhash SYSTEM INTERFACE "${XXHASH_INCLUDE_DIR}")
target_link_libraries(thresher_xxhash INTERFACE "${XXHASH_LIBRARY}")
add_library(thresher_sentencepiece INTERFACE)
target_include_directories(thresher_sentencepiece SYSTEM INTERFACE "${SENTENCEPIECE_INCLUDE_DIR}")
target_link_libraries(thresher_sentencepiece
    INTERFACE "${SENTENCEPIECE_TRAIN_LIBRARY}" "${SENTENCEPIECE_LIBRARY}")

include(FindCudaNccl)

if(THRESHER_TESTS)
    find_package(Catch2 QUIET)
    if(NOT Catch2_FOUND)
        message(FATAL_ERROR "Catch2 was not found. Debian and Ubuntu: apt-get install catch2; "
                            "or configure with -DTHRESHER_TESTS=OFF")
    endif()
endif()

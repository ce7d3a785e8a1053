# Target thresher_hdf5: the parallel HDF5 C library, version 1.10 or later.
#
# FindHDF5 asks the first h5cc or h5pcc it meets, which on Debian may be the serial one; the parallel
# build is preferred by name here and then checked for H5_HAVE_PARALLEL.
set(HDF5_PREFER_PARALLEL TRUE)
find_package(HDF5 1.10 QUIET COMPONENTS C)
if(NOT HDF5_FOUND)
    message(FATAL_ERROR "No HDF5 >= 1.10 was found. Debian and Ubuntu: apt-get install "
                        "libhdf5-openmpi-dev; a cluster: load a parallel HDF5 module and pass "
                        "-DHDF5_ROOT=its prefix")
endif()
if(NOT HDF5_IS_PARALLEL)
    message(FATAL_ERROR "HDF5 ${HDF5_VERSION} at ${HDF5_C_INCLUDE_DIRS} is a serial build; Thresher "
                        "writes through MPI-IO and needs a parallel one. Debian and Ubuntu: apt-get "
                        "install libhdf5-openmpi-dev; elsewhere pass -DHDF5_ROOT=the parallel prefix")
endif()
add_library(thresher_hdf5 INTERFACE)
target_include_directories(thresher_hdf5 SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(thresher_hdf5 INTERFACE ${HDF5_C_LIBRARIES} MPI::MPI_CXX)
target_compile_definitions(thresher_hdf5 INTERFACE ${HDF5_C_DEFINITIONS})

#include "io/hdf5/parallel_file.hpp"

#include <hdf5.h>

namespace thresher::io::hdf5 {

File open_parallel(const std::string& path, MPI_Comm communicator) {
    const auto guard = lock();
    H5Eclear2(H5E_DEFAULT);
    const Handle properties(checked(H5Pcreate(H5P_FILE_ACCESS), path, "open it on all ranks"));
    checked(H5Pset_fapl_mpio(properties.id(), communicator, MPI_INFO_NULL), path,
            "open it on all ranks");
    return File(Handle(checked(H5Fopen(path.c_str(), H5F_ACC_RDWR, properties.id()), path,
                               "open it on all ranks through MPI-IO")),
                path);
}

}  // namespace thresher::io::hdf5

# Copyright Thresher authors. SPDX-License-Identifier: Apache-2.0
"""Spack package: put this folder into a repository of yours as packages/thresher/, then `spack install thresher`."""

from spack.package import *


class Thresher(CMakePackage, CudaPackage):
    """Distributed MPI batch selection for training: one globally prioritised batch, exactly as one process would choose it."""

    homepage = "https://example.org/thresher"
    git = "https://example.org/thresher.git"  # edit: where your copy of the repository is
    license("Apache-2.0")

    version("main", branch="main")

    variant("cuda", default=False, description="Models on GPUs")
    variant("nccl", default=False, when="+cuda", description="Collectives between GPUs by NCCL")
    variant("tests", default=False, description="Build the tests")

    generator("ninja")
    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    depends_on("mpi@3:")
    depends_on("hdf5@1.10: +mpi")
    depends_on("py-torch@2.7: ~cuda", when="~cuda")
    depends_on("py-torch@2.7: +cuda", when="+cuda")
    depends_on("py-torch +nccl", when="+nccl")
    depends_on("nccl", when="+nccl")
    depends_on("cli11")
    depends_on("spdlog +shared")
    depends_on("fmt")
    depends_on("nlohmann-json")
    depends_on("pugixml")
    depends_on("random123")
    depends_on("highway")
    depends_on("xxhash")
    depends_on("sentencepiece")
    depends_on("jpeg")
    depends_on("libpng")
    depends_on("zlib-api")
    depends_on("catch2", when="+tests")
    depends_on("python@3.9:", type=("build", "run"))
    depends_on("py-h5py", type="run")
    depends_on("py-numpy", type="run")
    depends_on("py-matplotlib", type="run")
    conflicts("%gcc@:11", msg="Thresher is C++20 as GCC 12 accepts it")

    def cmake_args(self):
        torch = join_path(self.spec["py-torch"].package.cmake_prefix_paths[0])
        return [
            self.define("CMAKE_PREFIX_PATH", torch),
            # Both, or neither: the device code is the NCCL collective and what it needs.
            self.define("THRESHER_CUDA", "ON" if "+nccl" in self.spec else "OFF"),
            self.define_from_variant("THRESHER_TESTS", "tests"),
            self.define("THRESHER_BENCH", False),
            self.define("THRESHER_WERROR", False),
        ]

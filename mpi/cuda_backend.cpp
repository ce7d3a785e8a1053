#include "mpi/cuda_backend.hpp"

#include <dlfcn.h>

#include <array>
#include <filesystem>
#include <utility>
#include <vector>

#include "mpi/collective.hpp"
#include "mpi/nccl_collective.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/log.hpp"

namespace thresher::mpi {

namespace {

using DeviceCount = decltype(thresher_cuda_device_count)*;
using MakeCollective = decltype(thresher_cuda_make_collective)*;

/// The loaded library, or why there is none.
struct Backend {
    MakeCollective make_collective = nullptr;
    int devices = 0;
    std::string why_not;
};

#ifdef THRESHER_HAVE_CUDA

/// Loads the first of `names` that is there. It stays loaded until the process ends.
void* load(const std::vector<std::string>& names, int visibility, std::string& why_not) {
    for (const auto& name : names) {
        if (void* library = dlopen(name.c_str(), RTLD_NOW | visibility)) return library;
        const char* error = dlerror();
        why_not = error != nullptr ? error : name + " cannot be loaded";
    }
    return nullptr;
}

std::vector<std::string> places_of_own_library() {
    const std::string name = "libthresher_cuda.so";
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    std::vector<std::string> places;
    if (!error) {
        const auto folder = program.parent_path();
        for (const auto& place : {folder / name, folder.parent_path() / "lib" / name}) {
            if (std::filesystem::exists(place, error)) places.push_back(place.string());
        }
    }
    places.push_back(name);
    return places;
}

Backend load_backend() {
    Backend backend;
    std::string& why_not = backend.why_not;
    // First the driver: without it the gigabyte of LibTorch's kernels need not be read.
    if (load({"libcuda.so.1"}, RTLD_LOCAL, why_not) == nullptr) {
        why_not = "this machine has no NVIDIA driver (" + why_not + ")";
        return backend;
    }
    if (load({"libtorch_cuda.so"}, RTLD_GLOBAL, why_not) == nullptr) {
        why_not = "LibTorch's CUDA part cannot be loaded (" + why_not + ")";
        return backend;
    }
    void* own = load(places_of_own_library(), RTLD_LOCAL, why_not);
    if (own == nullptr) {
        why_not = "Thresher's CUDA part cannot be loaded (" + why_not + ")";
        return backend;
    }
    // POSIX gives functions as object pointers here.
    const auto count = reinterpret_cast<DeviceCount>(dlsym(own, "thresher_cuda_device_count"));
    const auto make = reinterpret_cast<MakeCollective>(dlsym(own, "thresher_cuda_make_collective"));
    if (count == nullptr || make == nullptr) {
        why_not = "libthresher_cuda.so is of another version than this program";
        return backend;
    }
    std::array<char, 256> reason{};
    backend.devices = count(reason.data(), reason.size());
    if (backend.devices > 0) {
        backend.make_collective = make;
        why_not.clear();
    } else {
        why_not = reason.data();
    }
    return backend;
}

#else

Backend load_backend() {
    return {nullptr, 0, "this build of Thresher has no CUDA (configure with -DTHRESHER_CUDA=ON)"};
}

#endif

const Backend& backend() {
    static const Backend loaded = load_backend();
    return loaded;
}

/// Why this rank cannot use NCCL; empty where it can.
std::string obstacle(int cuda_device) {
    if (cuda_device < 0) return "this rank computes on the CPU (--device)";
    std::string why_not;
    if (!cuda_backend_available(&why_not)) return why_not;
    if (cuda_device >= backend().devices) {
        return fmt::format("there is no GPU {}: {} are visible", cuda_device, backend().devices);
    }
    return "";
}

}  // namespace

bool cuda_backend_available(std::string* why_not) {
    if (why_not != nullptr) *why_not = backend().why_not;
    return backend().make_collective != nullptr;
}

std::unique_ptr<Collective> make_collective(const std::string& name, Communicator communicator,
                                            int cuda_device) {
    // The ranks agree through a collective of their own, so that the one returned has counted
    // nothing.
    const auto agreement = make_mpi_collective(communicator.duplicate());
    agree(*agreement, [&] {
        THRESHER_CHECK_AS(UsageError, name == "auto" || name == "mpi" || name == "nccl",
                          "--collective \"{}\" is unknown; allowed: auto, mpi, nccl", name);
    });
    const bool may_use_nccl =
        name != "mpi" && !(name == "auto" && any_rank(*agreement, cuda_device < 0));
    if (!may_use_nccl) return make_mpi_collective(std::move(communicator));

    const std::string reason = obstacle(cuda_device);
    if (any_rank(*agreement, !reason.empty())) {
        agree(*agreement, [&] {
            THRESHER_CHECK_AS(UsageError, name == "auto" || reason.empty(),
                              "--collective nccl is not possible: {}; use --collective auto or mpi",
                              reason);
        });
        return make_mpi_collective(std::move(communicator));
    }

    std::unique_ptr<Collective> nccl(backend().make_collective(&communicator, cuda_device));
    if (nccl) return nccl;
    if (agreement->is_root()) {
        log::warn(
            "ranks share a GPU, which NCCL does not allow: they exchange through MPI; start one "
            "rank "
            "per GPU to use NCCL");
    }
    return make_mpi_collective(std::move(communicator));
}

}  // namespace thresher::mpi

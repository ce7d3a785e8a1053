#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "src/base/check.hpp"
#include "src/models/model.hpp"

namespace thresher {

std::string choose_device(const std::string& name) {
    if (name == "cpu") return name;
    const bool has_cuda = at::globalContext().hasCUDA();
    if (name == "auto") return has_cuda ? "cuda" : "cpu";
    const bool is_cuda = name == "cuda" || (name.size() > 5 && name.compare(0, 5, "cuda:") == 0 &&
                                            name.find_first_not_of("0123456789", 5) == name.npos);
    THRESHER_CHECK_AS(UsageError, is_cuda,
                      "device '{}' is not known; allowed: auto, cpu, cuda, cuda:N", name);
    THRESHER_CHECK_AS(UsageError, has_cuda,
                      "device '{}' was asked for, but no GPU can be used: none is visible, or this "
                      "build has no CUDA; use --device cpu",
                      name);
    return name;
}

void use_model_threads(int threads) {
    THRESHER_CHECK_AS(UsageError, threads >= 1, "{} threads were asked for; at least 1 is needed",
                      threads);
    at::set_num_threads(threads);
}

}  // namespace thresher

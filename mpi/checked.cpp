#include "mpi/checked.hpp"

#include <array>

#include "src/base/check.hpp"

namespace thresher::mpi {

void check(int code, std::string_view call) {
    if (code == MPI_SUCCESS) [[likely]] {
        return;
    }
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    if (MPI_Error_string(code, text.data(), &length) != MPI_SUCCESS) length = 0;
    fail<Error>("{} failed: {} (MPI error {})", call.substr(0, call.find('(')),
                std::string_view(text.data(), static_cast<std::size_t>(length)), code);
}

}  // namespace thresher::mpi

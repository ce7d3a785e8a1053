#pragma once

#include <unistd.h>

#include <array>
#include <string>

namespace thresher {

/// The name of the machine this process runs on. Local.
inline std::string host_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unnamed host";
}

}  // namespace thresher

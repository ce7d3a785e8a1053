#pragma once

// Places where a test can have the process die, as a machine does that loses its power. Compiled in
// where THRESHER_FAULT_POINTS is defined, which only tests do; nothing anywhere else.

#ifdef THRESHER_FAULT_POINTS

#include <csignal>

#include <cstdlib>
#include <string_view>

/// Dies of SIGKILL where the environment variable THRESHER_FAULT has this name.
#define THRESHER_FAULT_POINT(name)                                   \
    do {                                                             \
        const char* fault = std::getenv("THRESHER_FAULT");           \
        if (fault != nullptr && std::string_view(fault) == (name)) { \
            std::raise(SIGKILL);                                     \
        }                                                            \
    } while (false)

#else

#define THRESHER_FAULT_POINT(name) static_cast<void>(0)

#endif

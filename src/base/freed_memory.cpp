#include "src/base/freed_memory.hpp"

#include <cstdlib>  // defines __GLIBC__, where that is the C library

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace thresher {

void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the largest that glibc takes
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

}  // namespace thresher

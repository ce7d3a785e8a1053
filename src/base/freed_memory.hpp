#pragma once

namespace thresher {

/// Lets the process keep memory that it freed, up to 1 GiB, for what it allocates next. Without it
/// glibc gives the activations of every update back to the system and takes them again, a page
/// fault for every page: an update of a small convolutional network then takes up to half as long
/// again (tests/bench/run.sh training). Nothing changes where the C library is another. Local; call
/// it once, early.
void keep_freed_memory();

}  // namespace thresher

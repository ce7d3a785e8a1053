#pragma once

// Included before Highway. The kernels of this folder keep vectors in structs, which those of
// sizeless types cannot be in: such processors use their fixed-size instruction set (NEON).

#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

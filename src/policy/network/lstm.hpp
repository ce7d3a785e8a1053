#pragma once

// The kernels of the policy's LSTM cell, in SIMD: products of small matrices, the step of a cell
// over many rows side by side, and its gradient. Lanes are hidden units, so their number is a
// multiple of 16. Every sum runs in its own order, so the bits do not depend on the width of
// vectors. All matrices are row major; all functions are local and run in the calling thread.

#include <cstdint>
#include <span>

namespace thresher {

/// What the hidden size must be a multiple of.
inline constexpr std::int64_t kHiddenStep = 16;

/// c [rows, width] += a [rows, inner] b [inner, width]. `width` is a multiple of 16.
void add_product(std::span<const float> a, std::span<const float> b, std::span<float> c,
                 std::int64_t rows, std::int64_t inner, std::int64_t width);

/// c [inner, width] += a [rows, inner]^T b [rows, width]. `width` is a multiple of 16.
void add_transposed_product(std::span<const float> a, std::span<const float> b, std::span<float> c,
                            std::int64_t rows, std::int64_t inner, std::int64_t width);

/// sums [rows, outputs] = a [rows, width] b [outputs, width]^T. `width` is a multiple of 16.
void dot_rows(std::span<const float> a, std::span<const float> b, std::span<float> sums,
              std::int64_t outputs, std::int64_t width);

/// The step of the cells of some rows. `gates` [rows, 4 H] has the pre-activations in PyTorch's
/// order (input, forget, cell, output), and then i = sigmoid, f = sigmoid, g = tanh, o = sigmoid of
/// them. `before` [rows, H] are the cells before, or [H] the same for all rows. Then
/// cells = f before + i g and outputs = o tanh(cells), both [rows, H].
void lstm_cells(std::int64_t hidden, std::span<float> gates, std::span<const float> before,
                std::span<float> cells, std::span<float> outputs);

/// Its gradient. `gates` [rows, 4 H] as lstm_cells left them, and then the gradients of the
/// pre-activations; `d_outputs` [rows, H] the gradients of the outputs; `d_cells` [rows, H] those
/// of the cells by what follows, and then those of the cells before.
void lstm_cells_backward(std::int64_t hidden, std::span<float> gates, std::span<const float> before,
                         std::span<const float> cells, std::span<const float> d_outputs,
                         std::span<float> d_cells);

}  // namespace thresher

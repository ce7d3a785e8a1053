#pragma once

// Counter-based random numbers. Every draw is a pure function of (seed, stream, round, id, draw),
// so any rank can make any row's number, in any order, and gets the same bits.
//
// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC'11; Random123).
// The key is the seed. The counter is {low and high half of id / 2, round, stream * 2^16 + draw};
// one block of four words serves the two ids 2 i (words 0 and 1) and 2 i + 1 (words 2 and 3).

#include <Random123/philox.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <numbers>

#include "src/base/check.hpp"

namespace thresher {

/// What a random number is for. Streams never overlap; the numbers are part of the file formats.
enum class Stream : std::uint16_t {
    selection = 1,
    random_acquisition = 2,
    epoch_order = 3,
    augmentation = 4,
    dropout = 5,
    initialisation = 6,
    label_noise = 7,
    jitter = 8,
    subset = 9,
    split = 10,
    initial_labels = 11,
    threshold_sample = 12,
    synthetic = 13,
    neighbour_sample = 14,
    target_sample = 15,
    badge = 16,
    batchbald = 17,
    k_means = 18,
    cluster_margin = 19,
    facility_parts = 20,
    facility_sample = 21,
    typicality_sample = 22,
    monte_carlo = 23,
    caption_noise = 24,
    scene = 25,
    environment = 32,
    proxy = 33,
    table_records = 34,
    policy_parameters = 35,
    policy_order = 36,
    policy_action = 37,
    policy_environment = 38,
    policy_projection = 39,
    table_search = 40
};

/// The four words of one Philox4x32-10 block.
inline std::array<std::uint32_t, 4> philox_block(const std::array<std::uint32_t, 4>& counter,
                                                 const std::array<std::uint32_t, 2>& key) {
    const r123::Philox4x32::ctr_type words =
        r123::Philox4x32()({{counter[0], counter[1], counter[2], counter[3]}}, {{key[0], key[1]}});
    return {words[0], words[1], words[2], words[3]};
}

/// The open interval (0, 1) from 64 random bits: the upper 52 of them and a half, never 0 or 1.
inline double open_uniform(std::uint64_t bits) {
    return (static_cast<double>(bits >> 12) + 0.5) * 0x1p-52;
}

/// The random numbers of one seed, stream and round, addressed by id. Trivially copyable;
/// thread-safe.
class KeyedRandom {
  public:
    KeyedRandom(std::uint64_t seed, Stream stream, std::uint32_t round)
        : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
          round_(round),
          stream_(stream) {}

    /// 64 random bits for `id`; `draw` numbers further values for the same id.
    std::uint64_t bits(std::int64_t id, std::uint16_t draw = 0) const {
        const std::array<std::uint32_t, 4> words = philox_block(counter(id, draw), key_);
        const std::size_t first = (static_cast<std::uint64_t>(id) & 1U) * 2;
        return (std::uint64_t{words[first]} << 32) | words[first + 1];
    }

    /// Uniform on (0, 1), never 0 or 1.
    double uniform(std::int64_t id, std::uint16_t draw = 0) const {
        return open_uniform(bits(id, draw));
    }

    /// Standard Gumbel, -log(-log u).
    double gumbel(std::int64_t id, std::uint16_t draw = 0) const {
        return -std::log(-std::log(uniform(id, draw)));
    }

    /// Standard normal (Box and Muller), from draws 2 `draw` and 2 `draw` + 1.
    double normal(std::int64_t id, std::uint16_t draw = 0) const {
        const auto first = static_cast<std::uint16_t>(2 * draw);
        const double radius = std::sqrt(-2.0 * std::log(uniform(id, first)));
        return radius * std::cos(2.0 * std::numbers::pi *
                                 uniform(id, static_cast<std::uint16_t>(first + 1)));
    }

    /// Uniform on {0, ..., bound - 1}, without bias (Lemire, "Fast random integer generation in an
    /// interval", 2019); throws where bound < 1. Takes further draws in the rare case of a
    /// rejection.
    std::int64_t integer(std::int64_t id, std::int64_t bound, std::uint16_t draw = 0) const {
        THRESHER_CHECK(bound >= 1,
                       "a random integer below {} was asked for; the bound must be 1 or more",
                       bound);
        __extension__ using Wide = unsigned __int128;
        const auto range = static_cast<std::uint64_t>(bound);
        for (;; ++draw) {
            const Wide product = static_cast<Wide>(bits(id, draw)) * range;
            const auto low = static_cast<std::uint64_t>(product);
            if (low >= range || low >= (0 - range) % range) {
                return static_cast<std::int64_t>(static_cast<std::uint64_t>(product >> 64));
            }
        }
    }

    std::array<std::uint32_t, 2> key() const { return key_; }

    /// The counter of the block that serves `id` and its neighbour.
    std::array<std::uint32_t, 4> counter(std::int64_t id, std::uint16_t draw = 0) const {
        const std::uint64_t block = static_cast<std::uint64_t>(id) >> 1;
        return {static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32), round_,
                (static_cast<std::uint32_t>(stream_) << 16) | draw};
    }

  private:
    std::array<std::uint32_t, 2> key_;
    std::uint32_t round_;
    Stream stream_;
};

}  // namespace thresher

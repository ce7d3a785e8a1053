#include "src/selection/candidates.hpp"

#include "src/base/thread_team.hpp"

namespace thresher {

namespace {

constexpr std::int64_t kPieceRows = std::int64_t{1} << 17;

}  // namespace

Candidates find_candidates(const Keys& keys, std::int64_t rows, float threshold) {
    Candidates candidates;
    candidates.store = std::make_unique<CandidateStore>();
    candidates.pieces.resize(static_cast<std::size_t>((rows + kPieceRows - 1) / kPieceRows));
    std::vector<std::vector<std::uint32_t>> not_finite(candidates.pieces.size());
    parallel_for(rows, kPieceRows, [&](std::int64_t begin, std::int64_t end) {
        const auto piece = static_cast<std::size_t>(begin / kPieceRows);
        thread_local Hits found;
        keys.collect(static_cast<std::size_t>(begin), static_cast<std::size_t>(end), threshold,
                     found, not_finite[piece]);
        candidates.pieces[piece] = {candidates.store->keep(found.keys()),
                                    candidates.store->keep(found.offsets())};
    });
    for (const auto& part : not_finite) {
        candidates.not_finite.insert(candidates.not_finite.end(), part.begin(), part.end());
    }
    return candidates;
}

}  // namespace thresher

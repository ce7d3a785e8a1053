#pragma once

// One rank's rows while a batch is picked from all ranks' rows: which can still be picked, and how
// the ranks agree on a pick and share its row.

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "src/acquisition/joint/joint.hpp"

namespace thresher {

enum class RowState : std::uint8_t {
    open,      ///< can be picked
    labelled,  ///< labelled before, never picked
    picked,
    out  ///< excluded or quarantined: takes no part
};

/// The row that a rank, or a thread, would pick next.
struct Proposal {
    double score = 0.0;
    std::int64_t id = -1;
    std::size_t offset = 0;

    void consider(double other_score, std::int64_t other_id, std::size_t other_offset) {
        if (id < 0 || ScoredId{other_score, other_id}.before({score, id})) {
            *this = {other_score, other_id, other_offset};
        }
    }
    void consider(const Proposal& other) {
        if (other.id >= 0) consider(other.score, other.id, other.offset);
    }
};

class JointShard {
  public:
    /// Marks excluded and labelled rows, and sets aside those that `acquisition` cannot use. Local.
    JointShard(const JointRows& rows, const JointAcquisition& acquisition,
               const JointOptions& options, std::vector<QuarantinedRow>& quarantined);

    /// Counts the open and the labelled rows over all ranks. Collective.
    void count(Collective& collective);
    std::int64_t all_open() const { return all_open_; }
    std::int64_t all_labelled() const { return all_labelled_; }

    std::size_t size() const { return states_.size(); }
    const JointRows& rows() const { return rows_; }
    RowState state(std::size_t offset) const { return states_[offset]; }
    bool open(std::size_t offset) const { return states_[offset] == RowState::open; }
    std::int64_t id(std::size_t offset) const { return rows_.id(offset); }
    std::size_t embedding_size() const { return static_cast<std::size_t>(rows_.embedding_size); }
    std::span<const float> embedding(std::size_t offset) const {
        return rows_.embeddings.subspan(offset * embedding_size(), embedding_size());
    }
    /// The embeddings of some rows, one after the other; copied into `copies` unless they lie so.
    std::span<const float> embeddings_of(std::span<const std::size_t> offsets,
                                         std::vector<float>& copies) const;
    /// Offsets of this rank's rows with this state, ascending.
    std::vector<std::size_t> offsets(RowState state) const;

    /// The best proposal of all ranks, which is marked as picked where it lives. Collective.
    GlobalBest pick(Collective& collective, const Proposal& own);
    void mark_picked(std::size_t offset) { states_[offset] = RowState::picked; }

  private:
    JointRows rows_;
    std::vector<RowState> states_;
    std::int64_t all_open_ = 0, all_labelled_ = 0;
};

/// The best proposal among the rows [0, n) that propose(begin, end) makes for pieces of them, on
/// all threads. Local.
Proposal best_of_pieces(std::size_t n, std::vector<Proposal>& pieces,
                        const std::function<Proposal(std::size_t begin, std::size_t end)>& propose);

/// The largest of the ranks' values, each >= 0. Collective.
float largest_of_ranks(Collective& collective, float value);

/// Adds a pick to the batch at the root.
void add_pick(const Collective& collective, Selection& selection, std::int64_t id, double gain);

/// Calls use(rows [m, d], owner, first) on every rank for all ranks' rows of `offsets`, in the
/// order of ranks and there in the order given, in batches of at most `batch` rows; `owner` is the
/// rank they come from and `first` the place of the first of them among that rank's. Collective;
/// `use` contains no collective operation.
void share_rows(
    Collective& collective, const JointShard& shard, std::span<const std::size_t> offsets,
    std::size_t batch,
    const std::function<void(std::span<const float> rows, int owner, std::size_t first)>& use);

}  // namespace thresher

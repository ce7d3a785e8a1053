#include "io/derive/caption_shuffle.hpp"

#include <algorithm>
#include <set>

#include "src/base/check.hpp"
#include "src/random/philox.hpp"

namespace thresher::io {

SourceCaption caption_of_row(const SourceBlock& block, std::size_t local) {
    const std::size_t length = block.tokens.size() / block.ids.size();
    return {std::span(block.tokens).subspan(local * length, length), block.captions[local],
            block.caption_of[local]};
}

CaptionShuffle::CaptionShuffle(double share, std::int64_t rows, std::uint64_t seed)
    : share_(share, rows, seed, Stream::caption_noise), seed_(seed) {}

void CaptionShuffle::collect(const SourceBlock& block, std::size_t local) {
    const SourceCaption own = caption_of_row(block, local);
    places_of_[own.caption_of].push_back(std::ssize(source_rows_));
    source_rows_.push_back(block.first_row + static_cast<std::int64_t>(local));
    caption_of_.push_back(own.caption_of);
    tokens_.insert(tokens_.end(), own.tokens.begin(), own.tokens.end());
    texts_.emplace_back(own.text);
}

SourceCaption CaptionShuffle::caption(const SourceBlock& block, std::size_t local,
                                      std::int64_t written) const {
    if (!share_.chosen(written)) return caption_of_row(block, local);
    const std::int64_t row = block.first_row + static_cast<std::int64_t>(local);
    const auto own =
        std::lower_bound(source_rows_.begin(), source_rows_.end(), row) - source_rows_.begin();
    std::set<std::int64_t> barred{own};
    if (const auto same = places_of_.find(block.image_ids[local]); same != places_of_.end()) {
        barred.insert(same->second.begin(), same->second.end());
    }
    const auto others = std::ssize(source_rows_) - std::ssize(barred);
    THRESHER_CHECK_AS(UsageError, others > 0,
                      "--shuffle-captions gives a row the caption of another image, but the pool "
                      "has only one");
    std::int64_t other = KeyedRandom(seed_, Stream::caption_noise, 1).integer(written, others);
    for (const std::int64_t place : barred) {
        if (other >= place) ++other;
    }
    const auto i = static_cast<std::size_t>(other);
    const std::size_t length = tokens_.size() / source_rows_.size();
    return {std::span(tokens_).subspan(i * length, length), texts_[i], caption_of_[i]};
}

}  // namespace thresher::io

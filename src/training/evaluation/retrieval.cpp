#include "src/training/evaluation/retrieval.hpp"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/log_sigmoid.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <limits>
#include <unordered_set>
#include <vector>

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"
#include "src/base/tree_sum.hpp"
#include "src/models/tensors.hpp"
#include "src/models/token_reader.hpp"
#include "src/strategy/model_runner.hpp"

namespace thresher {
namespace {

/// Rows that are compared with all others at a time.
constexpr std::int64_t kTileRows = 128;
constexpr double kLowest = -std::numeric_limits<double>::infinity();

/// What is known of rows: of this rank's, then of all.
struct Rows {
    std::vector<float> images, captions;    ///< [n, d]
    std::vector<std::int64_t> image_ids;    ///< [n]
    std::vector<std::int64_t> has_caption;  ///< [n], 0 or 1
};

/// What makes a loss of products.
struct Loss {
    ContrastiveKind kind;
    double scale = 1.0, bias = 0.0;

    /// [q] of products [q, m], of which `own` are those of pairs and `others` do not count.
    at::Tensor of(const at::Tensor& products, const at::Tensor& own,
                  const at::Tensor& others) const {
        const at::Tensor logits = products.mul(scale);
        if (kind == ContrastiveKind::softmax) {
            return logits.masked_fill(others, kLowest).logsumexp(1).sub_(logits.masked_select(own));
        }
        const at::Tensor sign = own.to(logits.scalar_type()).mul_(2).sub_(1);
        return at::log_sigmoid(logits.add(bias).mul_(sign)).masked_fill(others, 0.0).sum(1).neg();
    }
};

Rows embed(const Model& model, BlockSource& source, Collective& collective, Loss& loss) {
    const c10::InferenceMode inference;
    Rows rows;
    const PoolInfo& pool = source.info();
    ModelRunner runner(model, pool, 0);
    const PairScale pair_scale = runner.model().pair_scale();
    loss.scale = pair_scale.scale.item<double>();
    loss.bias = pair_scale.bias.item<double>();
    const auto size = static_cast<std::size_t>(model.embedding_size());
    const auto length = static_cast<std::size_t>(pool.token_length);
    Block block;
    while (source.next(block)) {
        give_up_if_others_failed(collective);
        const std::size_t before = rows.images.size();
        const auto count = static_cast<std::size_t>(block.rows.size());
        rows.images.resize(before + count * size);
        rows.captions.resize(before + count * size);
        ModelResults results;
        results.embeddings = std::span(rows.images).subspan(before);
        results.captions = std::span(rows.captions).subspan(before);
        runner.run(block, {}, results);
        rows.image_ids.insert(rows.image_ids.end(), block.image_ids.begin(), block.image_ids.end());
        for (std::size_t i = 0; i < count; ++i) {
            rows.has_caption.push_back(has_words(block.tokens.subspan(i * length, length)) ? 1 : 0);
        }
    }
    return rows;
}

/// Collective.
Rows gather(Collective& collective, const Rows& own) {
    const auto all = [&]<class T>(const std::vector<T>& values) {
        return collective.all_gather_v(std::span<const T>(values)).values;
    };
    return {all(own.images), all(own.captions), all(own.image_ids), all(own.has_caption)};
}

/// What is searched: captions, or images.
struct Gallery {
    at::Tensor embeddings;       ///< [m, d]
    at::Tensor rows, image_ids;  ///< int64 [m]
};

struct Found {
    at::Tensor before;  ///< [q]: how many of other images come before the first that fits
    at::Tensor loss;    ///< [q]
};

/// Searches for the rows `queries`, whose embeddings are [q, d]; `one_each`: an image is in the
/// gallery once, so that one place is right.
Found search(const Gallery& gallery, const at::Tensor& embeddings, const at::Tensor& queries,
             const at::Tensor& query_ids, const Loss& loss, bool one_each) {
    const at::Tensor products = embeddings.matmul(gallery.embeddings.t());
    const at::Tensor rows = queries.unsqueeze(1);
    const at::Tensor same = query_ids.unsqueeze(1).eq(gallery.image_ids);
    const at::Tensor own = one_each ? same : rows.eq(gallery.rows);
    const at::Tensor best = products.masked_fill(same.logical_not(), kLowest).amax(1, true);
    // What is no number comes before everything: a model that has diverged finds nothing.
    const at::Tensor before =
        products.le(best)
            .logical_not_()
            .logical_or_(products.eq(best).logical_and_(gallery.rows.lt(rows)))
            .logical_and_(same.logical_not());
    return {before.sum(1), loss.of(products, own, same.logical_and(own.logical_not()))};
}

at::Tensor matrix(std::vector<float>& values, std::int64_t width) {
    return at::from_blob(values.data(), {std::ssize(values) / width, width}, at::kFloat);
}

at::Tensor vector(std::vector<std::int64_t>& values) {
    return at::from_blob(values.data(), {std::ssize(values)}, at::kLong);
}

/// Counts over some rows, in the order in which they are reduced.
struct Counts {
    std::array<std::int64_t, kRecallAt.size()> image_to_text{}, text_to_image{};

    static void add(const at::Tensor& before, std::array<std::int64_t, kRecallAt.size()>& found) {
        for (std::size_t i = 0; i < kRecallAt.size(); ++i) {
            found[i] += before.lt(kRecallAt[i]).sum().item<std::int64_t>();
        }
    }
};

/// Sums of a block, reduced as doubles.
struct Sums {
    double loss = 0.0, alignment = 0.0;
};

class Search {
  public:
    Search(Rows rows, std::int64_t width, const Loss& loss)
        : all_(std::move(rows)),
          images_(matrix(all_.images, width)),
          captions_(matrix(all_.captions, width)),
          image_ids_(vector(all_.image_ids)),
          loss_(loss) {
        std::unordered_set<std::int64_t> seen;
        for (std::size_t i = 0; i < all_.image_ids.size(); ++i) {
            if (all_.has_caption[i] == 0) continue;
            with_caption_.push_back(static_cast<std::int64_t>(i));
            is_first_.push_back(seen.insert(all_.image_ids[i]).second ? 1 : 0);
            if (is_first_.back() == 1) first_.push_back(static_cast<std::int64_t>(i));
        }
        const auto gallery = [&](const at::Tensor& embeddings, std::vector<std::int64_t>& rows_of) {
            const at::Tensor index = vector(rows_of);
            return Gallery{embeddings.index_select(0, index), index,
                           image_ids_.index_select(0, index)};
        };
        texts_ = gallery(captions_, with_caption_);
        pictures_ = gallery(images_, first_);
    }

    Search(const Search&) = delete;  // its tensors are views of its vectors
    Search& operator=(const Search&) = delete;

    std::int64_t pairs() const { return std::ssize(with_caption_); }
    std::int64_t images() const { return std::ssize(first_); }

    /// Searches for the rows of a block.
    Sums search_block(RowRange block, Counts& counts) {
        Sums sums;
        const auto place = [&](std::int64_t row) {
            return std::lower_bound(with_caption_.begin(), with_caption_.end(), row) -
                   with_caption_.begin();
        };
        for (std::int64_t begin = block.begin; begin < block.end; begin += kTileRows) {
            const std::int64_t from = place(begin);
            const std::int64_t to = place(std::min(begin + kTileRows, block.end));
            if (from == to) continue;
            search_tile(from, to - from, counts, sums);
        }
        return sums;
    }

  private:
    void search_tile(std::int64_t from, std::int64_t count, Counts& counts, Sums& sums) {
        const at::Tensor queries = texts_.rows.narrow(0, from, count);
        const at::Tensor ids = texts_.image_ids.narrow(0, from, count);
        const at::Tensor images = images_.index_select(0, queries);
        const at::Tensor captions = texts_.embeddings.narrow(0, from, count);
        const Found texts = search(texts_, images, queries, ids, loss_, false);
        const Found pictures = search(pictures_, captions, queries, ids, loss_, true);
        const at::Tensor first = vector(is_first_).narrow(0, from, count).ne(0);
        Counts::add(texts.before.masked_select(first), counts.image_to_text);
        Counts::add(pictures.before, counts.text_to_image);
        // The sigmoid loss has each pair of all images and captions once.
        sums.loss += loss_.kind == ContrastiveKind::softmax
                         ? 0.5 * texts.loss.add(pictures.loss).sum(at::kDouble).item<double>()
                         : texts.loss.sum(at::kDouble).item<double>();
        sums.alignment += images.mul(captions).sum(at::kDouble).item<double>();
    }

    Rows all_;
    at::Tensor images_, captions_, image_ids_;
    Loss loss_;
    std::vector<std::int64_t> with_caption_, first_;  ///< rows
    std::vector<std::int64_t> is_first_;              ///< of with_caption_: the first of its image
    Gallery texts_, pictures_;
};

}  // namespace

Retrieval evaluate_retrieval(const Model& model, BlockSource& source, Collective& collective,
                             ContrastiveKind kind) {
    const PoolInfo& pool = source.info();
    const BlockPartition partition{pool.rows, pool.block_rows, collective.size()};
    const RowRange blocks = partition.owned_blocks(collective.rank());
    source.rewind();
    Rows own;
    Loss loss{kind};
    agree(collective, [&] {
        THRESHER_CHECK_AS(UsageError, model.spec().towers.has_value(),
                          "{} reads no captions, so it finds no images by them; use a two-tower",
                          model.spec().name);
        THRESHER_CHECK(pool.token_length > 0,
                       "pool {} has no captions, so images cannot be found by them; use a pool of "
                       "thresher import image-text",
                       pool.path);
        own = embed(model, source, collective, loss);
    });
    Search searched(gather(collective, own), model.embedding_size(), loss);
    THRESHER_CHECK(searched.pairs() > 0, "none of the {} rows of pool {} has a caption", pool.rows,
                   pool.path);
    Counts counts;
    std::vector<Sums> sums;
    agree(collective, [&] {
        const c10::InferenceMode inference;
        for (std::int64_t index = blocks.begin; index < blocks.end; ++index) {
            sums.push_back(searched.search_block(partition.block(index), counts));
        }
    });
    constexpr std::size_t kSums = sizeof(Sums) / sizeof(double);
    Sums total;
    tree_all_reduce<double>(
        collective, partition.blocks(), blocks.begin,
        std::span<const double>(reinterpret_cast<const double*>(sums.data()), sums.size() * kSums),
        std::span<double>(reinterpret_cast<double*>(&total), kSums));
    Retrieval result;
    result.pairs = searched.pairs();
    result.images = searched.images();
    result.without_caption = pool.rows - result.pairs;
    result.mean_loss = total.loss / static_cast<double>(result.pairs);
    result.alignment = total.alignment / static_cast<double>(result.pairs);
    collective.all_reduce_sum(std::span<std::int64_t>(counts.image_to_text));
    collective.all_reduce_sum(std::span<std::int64_t>(counts.text_to_image));
    for (std::size_t i = 0; i < kRecallAt.size(); ++i) {
        result.image_to_text[i] =
            static_cast<double>(counts.image_to_text[i]) / static_cast<double>(result.images);
        result.text_to_image[i] =
            static_cast<double>(counts.text_to_image[i]) / static_cast<double>(result.pairs);
    }
    return result;
}

}  // namespace thresher

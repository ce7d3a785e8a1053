#include "src/training/loss/batch_loss.hpp"

#include "src/base/check.hpp"

namespace thresher {

void check_teaches(const PoolInfo& pool, const ModelSpec& model) {
    if (model.towers) {
        THRESHER_CHECK(pool.token_length > 0,
                       "pool {} has no captions, which {} is trained and judged by; give a pool of "
                       "thresher import image-text",
                       pool.path, model.name);
        return;
    }
    if (model.detector) {
        THRESHER_CHECK(pool.has_boxes,
                       "pool {} has no boxes, which {} is trained and judged by; give a pool of "
                       "thresher import voc or coco",
                       pool.path, model.name);
        return;
    }
    THRESHER_CHECK(pool.has_targets,
                   "pool {} has no targets, which {} is trained and judged by; label it first{}",
                   pool.path, model.name,
                   pool.token_length > 0 ? ", or train a two-tower on its captions" : "");
}

}  // namespace thresher

#include <optional>

#include "io/hdf5/file.hpp"
#include "io/predictions/predictions_file.hpp"
#include "io/predictions/predictions_layout.hpp"
#include "io/predictions/shared_writer.hpp"
#include "io/quarantine_table.hpp"
#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

class PredictionsWriter::Body {
  public:
    Body(const PredictionsInfo& info, const Provenance& provenance, Overwrite overwrite,
         Collective& collective, const SharedFileOpener& open_shared)
        : info_(info),
          writer_(info.path, overwrite, collective, open_shared,
                  [&](hdf5::File& file) { create(file, info, provenance); }) {
        agree(collective, [&] {
            const auto open = [&](const std::string& name) { return writer_.file().dataset(name); };
            if (info_.has_ids) ids_.emplace(open("/ids"));
            if (info_.output_kind != OutputKind::none) {
                outputs_.emplace(open(output_dataset(info_.output_kind)));
            }
            if (info_.embedding_size > 0) embeddings_.emplace(open("/embeddings"));
            if (info_.boxes.most > 0) {
                box_log_probs_.emplace(open(kBoxLogProbs));
                box_scores_.emplace(open(kBoxScores));
            }
            if (info_.boxes.flips) box_flips_.emplace(open(kBoxFlips));
            if (info_.boxes.discrepancies) box_discrepancies_.emplace(open(kBoxDiscrepancies));
            for (const std::string& role : info_.loss_roles)
                losses_.emplace(role, open("/losses/" + role));
        });
    }

    void write(const PredictionBlock& block) {
        const std::int64_t rows = block.rows.size();
        const auto put = [&](std::optional<hdf5::Dataset>& dataset, auto values,
                             std::int64_t per_row, hdf5::Type type) {
            THRESHER_CHECK(std::cmp_equal(values.size(), dataset ? rows * per_row : 0),
                           "{}: {} values for {} rows of {}", info_.path, values.size(), rows,
                           dataset ? dataset->name() : "a dataset it does not have");
            if (dataset) dataset->write_rows(block.rows, type, std::as_bytes(values));
        };
        put(ids_, block.ids, 1, hdf5::Type::int64);
        put(outputs_, block.outputs, info_.samples * info_.classes, hdf5::Type::float32);
        put(embeddings_, block.embeddings, info_.embedding_size, hdf5::Type::float32);
        const BoxShape& boxes = info_.boxes;
        put(box_log_probs_, block.found.log_probs, boxes.most * boxes.classes, hdf5::Type::float32);
        put(box_scores_, block.found.scores, boxes.most, hdf5::Type::float32);
        put(box_flips_, block.found.flips, boxes.most, hdf5::Type::float32);
        put(box_discrepancies_, block.found.discrepancies, boxes.most, hdf5::Type::float32);
        for (auto& [role, dataset] : losses_) {
            const auto values = block.losses.find(role);
            THRESHER_CHECK(
                values != block.losses.end() && std::cmp_equal(values->second.size(), rows),
                "{}: no losses {} for {} rows", info_.path, role, rows);
            dataset.write_rows(block.rows, hdf5::Type::float32, std::as_bytes(values->second));
        }
    }

    void finish(const std::vector<QuarantinedRow>& own) {
        const std::vector<QuarantinedRow> quarantine = gather_quarantine(writer_.collective(), own);
        ids_.reset();
        outputs_.reset();
        embeddings_.reset();
        box_log_probs_.reset();
        box_scores_.reset();
        box_flips_.reset();
        box_discrepancies_.reset();
        losses_.clear();
        writer_.finish([&](hdf5::File& file) { write_quarantine(file, quarantine); });
    }

  private:
    static void create(hdf5::File& file, const PredictionsInfo& info,
                       const Provenance& provenance) {
        THRESHER_CHECK(info.rows > 0, "{}: predictions of no rows", info.path);
        write_provenance(file, "thresher-predictions", provenance);
        if (!info.strategy.empty()) hdf5::write_attribute(file.root(), "strategy", info.strategy);
        if (info.samples > 1) {
            hdf5::write_attribute(file.root(), "consistent_samples",
                                  std::int64_t{info.consistent_samples ? 1 : 0});
        }
        const auto make = [&](const std::string& name, std::vector<std::int64_t> shape,
                              const char* description, const char* unit, hdf5::Type type) {
            return file.create_dataset({.name = name,
                                        .type = type,
                                        .shape = std::move(shape),
                                        .description = description,
                                        .unit = unit});
        };
        constexpr auto kFloat = hdf5::Type::float32;
        if (info.has_ids) {
            make("/ids", {info.rows}, "id of each row", "", hdf5::Type::int64);
        } else {
            hdf5::write_attribute(file.root(), "ids", std::string("rows"));
        }
        if (info.output_kind != OutputKind::none) {
            const hdf5::Dataset outputs =
                make(output_dataset(info.output_kind), {info.rows, info.samples, info.classes},
                     "class outputs by row, sample and class",
                     info.output_kind == OutputKind::probabilities ? "" : "nat", kFloat);
            if (!info.class_names.empty()) {
                hdf5::write_attribute(outputs.ref(), "class_names", info.class_names);
            }
        }
        if (info.embedding_size > 0) {
            make("/embeddings", {info.rows, info.embedding_size}, "features of each row", "",
                 kFloat);
        }
        if (info.boxes.most > 0) {
            make(kBoxLogProbs, {info.rows, info.boxes.most, info.boxes.classes},
                 "by row and box, of each class and last of the background; NaN: no more boxes",
                 "nat", kFloat);
            make(kBoxScores, {info.rows, info.boxes.most},
                 "of each box, falling; NaN: no more boxes", "", kFloat);
        }
        if (info.boxes.flips) {
            make(kBoxFlips, {info.rows, info.boxes.most},
                 "1 - overlap of each box with what is found in the mirrored image", "", kFloat);
        }
        if (info.boxes.discrepancies) {
            make(kBoxDiscrepancies, {info.rows, info.boxes.most},
                 "half the sum over classes of how far the probabilities of two class heads differ",
                 "", kFloat);
        }
        for (const std::string& role : info.loss_roles) {
            make("/losses/" + role, {info.rows},
                 role == "predicted" ? "what the model expects of its loss of each row"
                                     : "cross-entropy of each row by this model",
                 role == "predicted" ? "" : "nat", kFloat);
        }
    }

    PredictionsInfo info_;
    SharedWriter writer_;
    std::optional<hdf5::Dataset> ids_, outputs_, embeddings_;
    std::optional<hdf5::Dataset> box_log_probs_, box_scores_, box_flips_, box_discrepancies_;
    std::map<std::string, hdf5::Dataset> losses_;
};

PredictionsWriter::PredictionsWriter(const PredictionsInfo& info, const Provenance& provenance,
                                     Overwrite overwrite, Collective& collective,
                                     const SharedFileOpener& open_shared)
    : body_(std::make_unique<Body>(info, provenance, overwrite, collective, open_shared)) {}

PredictionsWriter::~PredictionsWriter() = default;

void PredictionsWriter::write(const PredictionBlock& block) { body_->write(block); }
void PredictionsWriter::finish(const std::vector<QuarantinedRow>& quarantine) {
    body_->finish(quarantine);
}

}  // namespace thresher::io

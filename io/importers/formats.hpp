#pragma once

// The importers, one a file; importers.cpp has the table.

#include "io/importers/importers.hpp"

namespace thresher::io {

ImportReport import_idx(const ImportOptions& options, const Provenance& provenance);
ImportReport import_cifar(const ImportOptions& options, const Provenance& provenance);
ImportReport import_images(const ImportOptions& options, const Provenance& provenance);
ImportReport import_image_text(const ImportOptions& options, const Provenance& provenance);
ImportReport import_voc(const ImportOptions& options, const Provenance& provenance);
ImportReport import_coco(const ImportOptions& options, const Provenance& provenance);
ImportReport import_csv(const ImportOptions& options, const Provenance& provenance);
ImportReport import_hdf5(const ImportOptions& options, const Provenance& provenance);

}  // namespace thresher::io

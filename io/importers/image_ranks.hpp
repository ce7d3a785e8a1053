#pragma once

// Images that all ranks of a job decode for the root, which alone imports. The root asks for some
// at a time; each rank decodes its share and sends it. What comes of it is the same for any number
// of ranks.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "io/importers/image_rows.hpp"
#include "src/base/collective.hpp"

namespace thresher::io {

/// Decodes one file into a row of this shape; must not throw.
using DecodeImage =
    std::function<DecodedImage(const std::string& name, const std::vector<std::int64_t>& shape)>;

/// The images of `names`, in their order. Collective with help_decoding(), in which the other ranks
/// are: at the root.
std::vector<DecodedImage> decode_over_ranks(Collective& collective,
                                            std::span<const std::string> names,
                                            const std::vector<std::int64_t>& shape,
                                            const DecodeImage& decode);

/// Decodes what the root asks for until it calls dismiss_helpers(). Collective: on all ranks but
/// the root, which alone calls the other two.
void help_decoding(Collective& collective, const DecodeImage& decode);
void dismiss_helpers(Collective& collective);

}  // namespace thresher::io

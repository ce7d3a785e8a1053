#pragma once

// Text that all ranks share, such as the configuration that rank 0 read, and what text is.

#include <string>
#include <string_view>

#include "src/base/collective.hpp"

namespace thresher {

/// The root's `text` on every rank; what the other ranks pass is ignored. Collective.
std::string broadcast_text(Collective& collective, std::string text, int root = 0);

/// Whether these bytes are UTF-8 (RFC 3629), without a zero byte, which would end them in a file.
bool is_utf8(std::string_view text);

/// Foreign text for a message: what is no printable UTF-8 is escaped, since it would act on the
/// terminal, and what goes beyond 60 characters is left out.
std::string excerpt(std::string_view text);

/// Without blanks, tabs and line ends at either end.
std::string_view trimmed(std::string_view text);

}  // namespace thresher

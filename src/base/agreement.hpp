#pragma once

// Errors that all ranks share. A rank that throws alone leaves the others waiting in the next
// collective; so whatever can fail on one rank runs inside agree(), after which either every rank
// goes on or every rank throws the same error.

#include <functional>

#include "src/base/collective.hpp"

namespace thresher {

/// Runs `work` on each rank (it must contain no collective operation), then lets the ranks agree.
/// If it threw anywhere, every rank throws an Error with the message of the lowest failing rank,
/// which names that rank and says how many failed; exit code and type (FileError, UsageError,
/// Requeue) are kept. The wait for the last rank may be as long as its work. Collective.
void agree(Collective& collective, const std::function<void()>& work);

/// For long work inside agree(), now and then: ends the work of this rank, by an exception that
/// agree() alone catches, where another rank has failed already. Local.
void give_up_if_others_failed(Collective& collective);

/// The same where this rank knows it from a rank that it works with. Local.
[[noreturn]] void give_up();

/// True on all ranks if `value` is true on any. Collective.
bool any_rank(Collective& collective, bool value);

}  // namespace thresher

#pragma once

// What travels between the leading learner and an actor, as bytes:
//
//   to the actor     parameters   version, then the tensors of the models that are trained
//                    portions     to be scored
//                    forget       everything asked of the actor before this
//                    end          of training
//   to the learner   scores       of a portion, with what they took
//                    forgotten    the answer to forget
//                    stop         the actor was asked to stop, by a signal

#include <span>
#include <vector>

#include "src/base/messages.hpp"
#include "src/models/model.hpp"
#include "src/training/actors/memory_bank.hpp"

namespace thresher {

enum class MessageKind : std::int64_t {
    parameters,
    portions,
    forget,
    end,
    scores,
    forgotten,
    stop
};

/// Where an actor's time went since its last answer.
struct ActorSeconds {
    double computed = 0.0, waited = 0.0, communicated = 0.0;
};

/// What a portion took, since the last answer.
struct ActorCosts {
    ActorSeconds seconds;
    double online_flops = 0.0, reference_flops = 0.0;
};

/// Throws Error where a message is not what its kind says.
MessageKind kind_of(const Message& message);

SharedBytes pack(MessageKind kind);

SharedBytes pack_portions(const std::vector<Portion>& portions);
std::vector<Portion> unpack_portions(const Message& message);

SharedBytes pack_scores(const ScoredPortion& scored, const ActorCosts& costs);
struct Answer {
    ScoredPortion scored;
    ActorCosts costs;
};
Answer unpack_scores(Message&& message);

/// Adds the rows of `part` behind those of `all`.
void append(Examples& all, const Examples& part);

/// Parameters and buffers of the models, as they are.
SharedBytes pack_parameters(std::int64_t version, std::span<Model* const> models);
/// Copies them into models of the same kind; returns the version.
std::int64_t unpack_parameters(const Message& message, std::span<Model* const> models);

}  // namespace thresher

#include "src/training/actors/protocol.hpp"

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "src/base/check.hpp"
#include "src/models/tensors.hpp"

namespace thresher {

namespace {

class Writer {
  public:
    explicit Writer(MessageKind kind) { value(kind); }

    template <class T>
    void value(const T& value) {
        static_assert(std::is_trivially_copyable_v<T>);
        raw(std::as_bytes(std::span<const T>(&value, 1)));
    }
    /// How many there are, then they.
    template <class T>
    void values(const std::vector<T>& values) {
        value(std::ssize(values));
        raw(std::as_bytes(std::span<const T>(values)));
    }
    void raw(std::span<const std::byte> bytes) {
        const auto used = std::ssize(bytes_);
        bytes_.resize(bytes_.size() + bytes.size());
        std::ranges::copy(bytes, bytes_.begin() + used);
    }
    SharedBytes message() {
        return std::make_shared<const std::vector<std::byte>>(std::move(bytes_));
    }

  private:
    std::vector<std::byte> bytes_;
};

class Reader {
  public:
    Reader(const Message& message, MessageKind expected) : message_(message), left_(message.bytes) {
        const auto kind = value<MessageKind>();
        THRESHER_CHECK(kind == expected, "a message of kind {} from rank {}, where {} was due",
                       static_cast<std::int64_t>(kind), message.from,
                       static_cast<std::int64_t>(expected));
    }

    template <class T>
    T value() {
        T result{};
        raw(std::as_writable_bytes(std::span<T>(&result, 1)));
        return result;
    }
    template <class T>
    void values(std::vector<T>& result) {
        const auto count = value<std::ptrdiff_t>();
        THRESHER_CHECK(count >= 0 && static_cast<std::size_t>(count) <= left_.size() / sizeof(T),
                       "a message of rank {} is cut short", message_.from);
        result.resize(static_cast<std::size_t>(count));
        raw(std::as_writable_bytes(std::span<T>(result)));
    }
    void raw(std::span<std::byte> bytes) {
        THRESHER_CHECK(bytes.size() <= left_.size(), "a message of rank {} is cut short",
                       message_.from);
        if (!bytes.empty()) std::memcpy(bytes.data(), left_.data(), bytes.size());
        left_ = left_.subspan(bytes.size());
    }

  private:
    const Message& message_;
    std::span<const std::byte> left_;
};

template <class Visit>
void visit_tensors(std::span<Model* const> models, const Visit& visit) {
    const c10::NoGradGuard no_grad;
    for (const Model* model : models) {
        for (const NamedTensor& entry : model->parameters()) visit(entry.tensor);
        for (const NamedTensor& entry : model->buffers()) visit(entry.tensor);
    }
}

std::span<std::byte> bytes_of(const at::Tensor& host) {
    return {static_cast<std::byte*>(host.mutable_data_ptr()), host.nbytes()};
}

}  // namespace

MessageKind kind_of(const Message& message) {
    MessageKind kind{};
    THRESHER_CHECK(message.bytes.size() >= sizeof kind, "a message of rank {} is cut short",
                   message.from);
    std::memcpy(&kind, message.bytes.data(), sizeof kind);
    return kind;
}

SharedBytes pack(MessageKind kind) { return Writer(kind).message(); }

SharedBytes pack_portions(const std::vector<Portion>& portions) {
    Writer writer(MessageKind::portions);
    writer.values(portions);
    return writer.message();
}

std::vector<Portion> unpack_portions(const Message& message) {
    std::vector<Portion> portions;
    Reader(message, MessageKind::portions).values(portions);
    return portions;
}

SharedBytes pack_scores(const ScoredPortion& scored, const ActorCosts& costs) {
    Writer writer(MessageKind::scores);
    writer.value(scored.portion);
    writer.value(scored.version);
    writer.value(costs);
    writer.values(scored.scores);
    visit_fields([&](auto field) { writer.values(scored.rows.*field); });
    return writer.message();
}

Answer unpack_scores(Message&& message) {
    Reader reader(message, MessageKind::scores);
    Answer answer;
    answer.scored.portion = reader.value<Portion>();
    answer.scored.version = reader.value<std::int64_t>();
    answer.costs = reader.value<ActorCosts>();
    reader.values(answer.scored.scores);
    visit_fields([&](auto field) { reader.values(answer.scored.rows.*field); });
    return answer;
}

void append(Examples& all, const Examples& part) {
    visit_fields([&](auto field) {
        (all.*field).insert((all.*field).end(), (part.*field).begin(), (part.*field).end());
    });
}

SharedBytes pack_parameters(std::int64_t version, std::span<Model* const> models) {
    Writer writer(MessageKind::parameters);
    writer.value(version);
    visit_tensors(
        models, [&](const at::Tensor& tensor) { writer.raw(bytes_of(tensor.cpu().contiguous())); });
    return writer.message();
}

std::int64_t unpack_parameters(const Message& message, std::span<Model* const> models) {
    Reader reader(message, MessageKind::parameters);
    const auto version = reader.value<std::int64_t>();
    visit_tensors(models, [&](const at::Tensor& tensor) {
        const at::Tensor host = at::empty_like(tensor, at::kCPU).contiguous();
        reader.raw(bytes_of(host));
        tensor.copy_(host);
    });
    return version;
}

}  // namespace thresher

#include "io/importers/image_ranks.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "src/base/check.hpp"
#include "src/base/thread_team.hpp"

namespace thresher::io {

namespace {

/// What the root asks for: 0 images dismiss the others.
struct Order {
    std::vector<std::int64_t> shape;
    std::vector<std::string> names;
};

/// The root's order on every rank. The wait for it may be as long as the root's own work.
Order share(Collective& collective, Order order) {
    std::string text;
    for (const std::string& name : order.names) text += name + '\0';
    std::vector<std::int64_t> numbers{static_cast<std::int64_t>(order.names.size()),
                                      static_cast<std::int64_t>(text.size())};
    numbers.insert(numbers.end(), order.shape.begin(), order.shape.end());
    numbers.resize(5);
    collective.all_reduce_sum_patiently(numbers);
    order.shape.assign(numbers.begin() + 2, numbers.end());
    text.resize(static_cast<std::size_t>(numbers[1]));
    if (!text.empty()) collective.broadcast(std::span(text));
    order.names.clear();
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = text.find('\0', begin);
        order.names.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return order;
}

/// This rank's share.
std::vector<DecodedImage> decode_some(const Collective& collective, const Order& order,
                                      const DecodeImage& decode) {
    const auto count = order.names.size();
    const auto ranks = static_cast<std::size_t>(collective.size()),
               rank = static_cast<std::size_t>(collective.rank());
    const std::size_t begin = count * rank / ranks, end = count * (rank + 1) / ranks;
    std::vector<DecodedImage> images(end - begin);
    parallel_for(static_cast<std::int64_t>(images.size()), 4,
                 [&](std::int64_t first, std::int64_t last) {
                     for (auto i = static_cast<std::size_t>(first);
                          i < static_cast<std::size_t>(last); ++i) {
                         images[i] = decode(order.names[begin + i], order.shape);
                     }
                 });
    return images;
}

/// All ranks' images at the root; empty elsewhere.
std::vector<DecodedImage> gather(Collective& collective, std::vector<DecodedImage> own) {
    if (collective.size() == 1) return own;
    std::vector<std::int64_t> numbers;
    std::vector<std::byte> inputs;
    std::string reasons;
    for (const DecodedImage& image : own) {
        numbers.insert(numbers.end(), {image.width, image.height, std::ssize(image.inputs),
                                       static_cast<std::int64_t>(image.reason.size())});
        inputs.insert(inputs.end(), image.inputs.begin(), image.inputs.end());
        reasons += image.reason;
    }
    const auto all_numbers = collective.gather_v(std::span<const std::int64_t>(numbers)).values;
    const auto all_inputs = collective.gather_v(std::span<const std::byte>(inputs)).values;
    const auto all_reasons = collective.gather_v(std::span<const char>(reasons)).values;
    std::vector<DecodedImage> images;
    auto input = all_inputs.begin();
    auto reason = all_reasons.begin();
    for (std::size_t i = 0; i < all_numbers.size(); i += 4) {
        images.push_back({{input, input + all_numbers[i + 2]},
                          all_numbers[i],
                          all_numbers[i + 1],
                          {reason, reason + all_numbers[i + 3]}});
        input += all_numbers[i + 2];
        reason += all_numbers[i + 3];
    }
    return images;
}

}  // namespace

std::vector<DecodedImage> decode_over_ranks(Collective& collective,
                                            std::span<const std::string> names,
                                            const std::vector<std::int64_t>& shape,
                                            const DecodeImage& decode) {
    Order order{shape, {names.begin(), names.end()}};
    if (collective.size() > 1) order = share(collective, std::move(order));
    return gather(collective, decode_some(collective, order, decode));
}

void help_decoding(Collective& collective, const DecodeImage& decode) {
    for (;;) {
        const Order order = share(collective, {});
        if (order.names.empty()) return;
        gather(collective, decode_some(collective, order, decode));
    }
}

void dismiss_helpers(Collective& collective) { share(collective, {}); }

}  // namespace thresher::io

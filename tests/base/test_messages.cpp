#include "src/base/messages.hpp"

#include <cstring>

#include "src/random/philox.hpp"
#include "tests/support/ranks.hpp"

using namespace thresher;
using thresher::test::on_all_messages;

namespace {

/// `size` bytes that only this sender would send as its message `number`.
SharedBytes content(int from, std::int64_t number, std::size_t size) {
    std::vector<std::byte> bytes(size);
    const KeyedRandom random(static_cast<std::uint64_t>(from), Stream::synthetic,
                             static_cast<std::uint32_t>(number));
    for (std::size_t i = 0; i < size; ++i) {
        bytes[i] = static_cast<std::byte>(random.bits(static_cast<std::int64_t>(i)) & 0xFFU);
    }
    return std::make_shared<const std::vector<std::byte>>(std::move(bytes));
}

Message receive_one(Messages& messages) {
    while (true) {
        if (auto message = messages.receive(std::chrono::milliseconds(1))) return *message;
    }
}

}  // namespace

TEST_CASE("messages arrive whole and in the order in which a rank sent them", "[messages]") {
    on_all_messages(100, [](Messages& messages, Collective& collective) {
        // From nothing to more than MPI sends without the receiver's help.
        const std::vector<std::size_t> sizes{0, 1, 17, 100000, 3, 300000, 8};
        const auto count = std::ssize(sizes);
        for (std::int64_t number = 0; number < count; ++number) {
            for (int to = 0; to < messages.size(); ++to) {
                if (to == messages.rank()) continue;
                messages.send(
                    to, content(messages.rank(), number, sizes[static_cast<std::size_t>(number)]));
            }
        }
        std::vector<std::int64_t> next(static_cast<std::size_t>(messages.size()), 0);
        for (std::int64_t left = count * (messages.size() - 1); left > 0; --left) {
            const Message message = receive_one(messages);
            const std::int64_t number = next[static_cast<std::size_t>(message.from)]++;
            CHECK_ON_RANK(collective,
                          message.bytes == *content(message.from, number,
                                                    sizes[static_cast<std::size_t>(number)]));
        }
        CHECK_ON_RANK(collective, !messages.receive());
        CHECK_ON_RANK(collective, messages.bytes_sent() == 400029 * (messages.size() - 1));
    });
}

TEST_CASE("a queue that nobody empties is an error of the sender, not a flood", "[messages]") {
    on_all_messages(3, [](Messages& messages, Collective& collective) {
        if (messages.size() == 1) return;
        const bool first = messages.rank() == 0;
        std::string error;
        // So large that MPI keeps them here until they are taken.
        const SharedBytes large = content(0, 0, std::size_t{1} << 20);
        for (int number = 0; first && number < 4; ++number) {
            try {
                messages.send(1, large);
            } catch (const Error& failed) {
                error = failed.what();
                CHECK_ON_RANK(collective, number == 3);
            }
        }
        collective.barrier();
        CHECK_ON_RANK(collective, (!first || error.find("3 messages to rank 1") == 0));
        for (int number = 0; messages.rank() == 1 && number < 3; ++number) receive_one(messages);
        collective.barrier();
        while (messages.rank() == 0) {  // what has been taken makes room
            try {
                messages.send(1, content(0, 1, 8));
                break;
            } catch (const Error&) {
            }
        }
        if (messages.rank() == 1)
            CHECK_ON_RANK(collective, receive_one(messages).bytes.size() == 8);
    });
}

TEST_CASE("what nobody receives is dropped when messages are closed", "[messages]") {
    on_all_messages(8, [](Messages& messages, Collective&) {
        for (int to = 0; to < messages.size(); ++to) {
            if (to == messages.rank()) continue;
            messages.send(to, content(messages.rank(), 0, 500000));
            messages.send(to, content(messages.rank(), 1, 5));
        }
    });
}

TEST_CASE("a message to nobody is refused", "[messages]") {
    on_all_messages(8, [](Messages& messages, Collective& collective) {
        for (const int to : {-1, messages.rank(), messages.size()}) {
            bool refused = false;
            try {
                messages.send(to, content(0, 0, 1));
            } catch (const Error&) {
                refused = true;
            }
            CHECK_ON_RANK(collective, refused);
        }
    });
}

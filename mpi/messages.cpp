#include "mpi/messages.hpp"

#include <algorithm>
#include <deque>
#include <list>
#include <set>
#include <thread>
#include <utility>

#include "mpi/checked.hpp"
#include "mpi/open_handles.hpp"
#include "src/base/narrow.hpp"

namespace thresher::mpi {

namespace {

constexpr int kTag = 3;  // 1 and 2 belong to collectives and failure notices
constexpr std::chrono::microseconds kNap{50};

bool done(MPI_Request& request) {
    int flag = 0;
    THRESHER_MPI(MPI_Test(&request, &flag, MPI_STATUS_IGNORE));
    return flag != 0;
}

class MpiMessages final : public Messages {
  public:
    MpiMessages(Communicator communicator, std::int64_t most_unsent)
        : Messages(most_unsent), communicator_(std::move(communicator)) {}

    /// What is still on its way where nothing was closed belongs to a job that is being ended; MPI
    /// may still read it.
    ~MpiMessages() override {
        if (sent_.empty() && arriving_.empty()) return;
        const auto is_open = [](const auto& one) { return one.request != MPI_REQUEST_NULL; };
        leave_open(std::count_if(sent_.begin(), sent_.end(), is_open) +
                   std::count_if(arriving_.begin(), arriving_.end(), is_open));
        static_cast<void>(new auto(std::move(sent_)));
        static_cast<void>(new auto(std::move(arriving_)));
    }

    int rank() const override { return communicator_.rank(); }
    int size() const override { return communicator_.size(); }

  private:
    struct Sent {
        int to;
        SharedBytes bytes;
        MPI_Request request = MPI_REQUEST_NULL;
    };
    struct Arriving {
        Message message;
        MPI_Request request = MPI_REQUEST_NULL;
    };

    void do_send(int to, SharedBytes bytes) override {
        Sent& sent = sent_.emplace_back(Sent{to, std::move(bytes)});
        THRESHER_MPI(MPI_Isend(sent.bytes->data(), narrow<int>(sent.bytes->size()), MPI_BYTE, to,
                               kTag, communicator_.raw(), &sent.request));
    }

    void forget_sent() {
        sent_.remove_if([](Sent& sent) { return done(sent.request); });
    }

    std::int64_t do_unsent(int to) override {
        forget_sent();
        return std::count_if(sent_.begin(), sent_.end(),
                             [&](const Sent& sent) { return sent.to == to; });
    }

    std::optional<Message> do_receive(std::chrono::microseconds patience) override {
        const auto deadline = std::chrono::steady_clock::now() + patience;
        while (true) {
            if (auto message = next_arrived()) return message;
            if (std::chrono::steady_clock::now() >= deadline) return {};
            std::this_thread::sleep_for(std::min(kNap, patience));
        }
    }

    /// A receive is only begun here: a sender that stops in the middle of a message keeps nobody
    /// waiting. Messages of one rank stay in their order.
    std::optional<Message> next_arrived() {
        forget_sent();
        begin_receives();
        std::set<int> behind;
        for (auto arriving = arriving_.begin(); arriving != arriving_.end(); ++arriving) {
            const int from = arriving->message.from;
            if (behind.count(from) > 0) continue;
            if (!done(arriving->request)) {
                behind.insert(from);
                continue;
            }
            Message message = std::move(arriving->message);
            arriving_.erase(arriving);
            return message;
        }
        return {};
    }

    void begin_receives() {
        while (true) {
            int found = 0, size = 0;
            MPI_Message handle = MPI_MESSAGE_NULL;
            MPI_Status status;
            THRESHER_MPI(
                MPI_Improbe(MPI_ANY_SOURCE, kTag, communicator_.raw(), &found, &handle, &status));
            if (found == 0) return;
            THRESHER_MPI(MPI_Get_count(&status, MPI_BYTE, &size));
            Arriving& arriving = arriving_.emplace_back();
            arriving.message.from = status.MPI_SOURCE;
            arriving.message.bytes.resize(static_cast<std::size_t>(size));
            THRESHER_MPI(MPI_Imrecv(arriving.message.bytes.data(), size, MPI_BYTE, &handle,
                                    &arriving.request));
        }
    }

    /// A rank joins the barrier when all it sent has left, and goes on receiving until the others
    /// have joined as well.
    void do_close() override {
        MPI_Request barrier = MPI_REQUEST_NULL;
        bool joined = false;
        while (true) {
            while (next_arrived()) continue;
            if (!joined && sent_.empty()) {
                THRESHER_MPI(MPI_Ibarrier(communicator_.raw(), &barrier));
                joined = true;
            }
            if (joined && done(barrier)) break;
            std::this_thread::sleep_for(kNap);
        }
        while (next_arrived() || !arriving_.empty()) continue;
    }

    Communicator communicator_;
    std::list<Sent> sent_;
    std::list<Arriving> arriving_;
};

}  // namespace

std::unique_ptr<Messages> make_mpi_messages(Communicator communicator, std::int64_t most_unsent) {
    return std::make_unique<MpiMessages>(std::move(communicator), most_unsent);
}

}  // namespace thresher::mpi

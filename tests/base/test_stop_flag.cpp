#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "src/base/stop_flag.hpp"
#include "tests/support/catch.hpp"

using namespace thresher;

TEST_CASE("each of the three stop signals raises the flag", "[stop]") {
    install_stop_signals();
    for (int signal : {SIGTERM, SIGUSR1, SIGUSR2}) {
        clear_stop_request();
        CHECK(!stop_requested());
        REQUIRE(std::raise(signal) == 0);
        CHECK(stop_requested());
    }
    clear_stop_request();
}

TEST_CASE("a stop that is asked for elsewhere counts as a signal here", "[stop]") {
    REQUIRE_FALSE(stop_requested());
    request_stop();
    CHECK(stop_requested());
    clear_stop_request();
    CHECK_FALSE(stop_requested());
}

TEST_CASE("a second SIGTERM ends the process", "[stop]") {
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        install_stop_signals();
        std::raise(SIGTERM);
        if (!stop_requested()) _exit(1);
        std::raise(SIGTERM);
        _exit(0);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status));
    CHECK(WTERMSIG(status) == SIGTERM);
}

#include "src/base/log.hpp"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "src/base/check.hpp"

namespace thresher {

namespace {

spdlog::level::level_enum level_of(const std::string& name) {
    constexpr std::array<std::pair<const char*, spdlog::level::level_enum>, 6> kLevels{
        {{"trace", spdlog::level::trace},
         {"debug", spdlog::level::debug},
         {"info", spdlog::level::info},
         {"warning", spdlog::level::warn},
         {"error", spdlog::level::err},
         {"off", spdlog::level::off}}};
    for (const auto& [known, level] : kLevels) {
        if (name == known) return level;
    }
    fail<UsageError>(
        "--log-level \"{}\" is unknown; allowed: trace, debug, info, warning, error, off", name);
}

}  // namespace

void start_log(const std::string& level, int rank, bool all_ranks, const std::string& log_file) {
    const auto asked = level_of(level);
    std::vector<spdlog::sink_ptr> sinks{std::make_shared<spdlog::sinks::stderr_color_sink_mt>()};
    if (!log_file.empty() && rank == 0) {
        try {
            sinks.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(log_file));
        } catch (const spdlog::spdlog_ex& error) {
            fail<FileError>("cannot write the log file {}: {}", log_file, error.what());
        }
    }
    auto logger = std::make_shared<spdlog::logger>("thresher", sinks.begin(), sinks.end());
    const bool quiet = rank != 0 && !all_ranks;
    logger->set_level(quiet ? std::max(asked, spdlog::level::warn) : asked);
    const bool names_rank = rank != 0 || all_ranks;
    logger->set_pattern(names_rank ? fmt::format("%H:%M:%S rank {} %^%l%$: %v", rank)
                                   : std::string("%H:%M:%S %^%l%$: %v"));
    logger->flush_on(spdlog::level::info);
    spdlog::set_default_logger(std::move(logger));
}

}  // namespace thresher

// bench_joint --acquisition NAME --rows N [--embedding-size D] [--samples S] [--classes C] --k K
//             [--embeddings FILE.f32] [--log-probs FILE.f32] [--similarity NAME] [--repeats R]
//             [--threads T] [--ranks P] [--picks yes|no]
//
// Seconds of one joint choice over rows in memory, those that pass and those of the processor, the
// best of R each; one JSON line. Without files the rows are random. With P > 1 the ranks are
// threads of this process. `peak_bytes` is the memory of the inputs and of choosing from them. For
// k-center also the rate at which the rows are read, against that of a pass that only adds them up.

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "src/acquisition/joint/distances.hpp"
#include "src/acquisition/joint/joint.hpp"
#include "src/base/thread_collective.hpp"
#include "src/base/thread_team.hpp"
#include "src/random/philox.hpp"
#include "tests/bench/bench.hpp"

using namespace thresher;

namespace {

constexpr std::int64_t kGrain = 1024;

/// Normal numbers, cheaply: the sum of the four 16-bit parts of a block of random bits.
std::vector<float> random_floats(std::int64_t count) {
    std::vector<float> values(static_cast<std::size_t>(count));
    const KeyedRandom random(1, Stream::synthetic, 0);
    parallel_for(count, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t i = begin; i < end; ++i) {
            const std::uint64_t bits = random.bits(i);
            double sum = 0.0;
            for (int part = 0; part < 4; ++part) {
                sum += static_cast<double>((bits >> (16 * part)) & 0xffffU) / 65536.0 - 0.5;
            }
            values[static_cast<std::size_t>(i)] = static_cast<float>(sum * std::sqrt(3.0));
        }
    });
    return values;
}

std::vector<float> log_softmax(std::vector<float> logits, std::int64_t classes) {
    const auto width = static_cast<std::size_t>(classes);
    for (std::size_t begin = 0; begin < logits.size(); begin += width) {
        double sum = 0.0;
        for (std::size_t c = 0; c < width; ++c) sum += std::exp(2.0 * double{logits[begin + c]});
        for (std::size_t c = 0; c < width; ++c) {
            logits[begin + c] = static_cast<float>(2.0 * double{logits[begin + c]} - std::log(sum));
        }
    }
    return logits;
}

/// Seconds of a pass that reads all values and adds up their squares.
double read_seconds(const std::vector<float>& values, std::int64_t row) {
    std::vector<float> norms(values.size() / static_cast<std::size_t>(row));
    return bench::cpu_seconds([&] {
        parallel_for(
            static_cast<std::int64_t>(norms.size()), kGrain,
            [&](std::int64_t begin, std::int64_t end) {
                squared_norms(
                    std::span(values).subspan(static_cast<std::size_t>(begin * row),
                                              static_cast<std::size_t>((end - begin) * row)),
                    static_cast<std::size_t>(row),
                    std::span(norms).subspan(static_cast<std::size_t>(begin),
                                             static_cast<std::size_t>(end - begin)));
            });
    });
}

}  // namespace

int main(int argc, char** argv) {
    const auto text = [&](const char* name, const char* otherwise) {
        return bench::option(argc, argv, name, otherwise);
    };
    const auto number = [&](const char* name, const char* otherwise) {
        return std::stoll(text(name, otherwise));
    };
    const std::string name = text("--acquisition", "k-center");
    const std::int64_t rows = number("--rows", "20000"), d = number("--embedding-size", "64");
    const std::int64_t samples = number("--samples", "1"), classes = number("--classes", "10");
    const auto ranks = static_cast<int>(number("--ranks", "1"));
    const JointAcquisition* acquisition = find_joint_acquisition(name);
    THRESHER_CHECK_AS(UsageError, acquisition != nullptr, "no joint acquisition \"{}\"", name);
    JointOptions options;
    options.k = number("--k", "100");
    options.similarity = similarity_named(text("--similarity", "cosine"));
    use_threads(static_cast<int>(number("--threads", "1")));

    const std::int64_t before_bytes = bench::peak_bytes();
    std::vector<float> embeddings, log_probs;
    if (acquisition->reads("embeddings")) {
        const std::string file = text("--embeddings", "");
        embeddings = file.empty() ? random_floats(rows * d) : bench::read_floats(file);
    }
    if (acquisition->reads("log_probs")) {
        const std::string file = text("--log-probs", "");
        log_probs = file.empty() ? log_softmax(random_floats(rows * samples * classes), classes)
                                 : bench::read_floats(file);
    }

    bench::Best best, cpu, read;
    Selection selection;
    Traffic traffic;
    std::int64_t peak_bytes = 0;
    for (std::int64_t repeat = 0; repeat < number("--repeats", "3"); ++repeat) {
        const auto choose = [&] {
            run_simulated_ranks(ranks, [&](Collective& collective) {
                const std::int64_t begin = rows * collective.rank() / ranks;
                const std::int64_t own = rows * (collective.rank() + 1) / ranks - begin;
                const auto part = [&](const std::vector<float>& values, std::int64_t width) {
                    return values.empty()
                               ? std::span<const float>()
                               : std::span(values).subspan(static_cast<std::size_t>(begin * width),
                                                           static_cast<std::size_t>(own * width));
                };
                const JointRows shard{.rows = own,
                                      .first_row = begin,
                                      .ids = {},
                                      .log_probs = part(log_probs, samples * classes),
                                      .samples = samples,
                                      .classes = classes,
                                      .embeddings = part(embeddings, d),
                                      .embedding_size = d,
                                      .excluded = {},
                                      .labelled = {}};
                Selection own_part = select_jointly(collective, *acquisition, shard, options);
                if (!collective.is_root()) return;
                selection = std::move(own_part);
                traffic = collective.traffic();
            });
        };
        cpu.add(bench::cpu_seconds([&] { best.add(bench::wall_seconds(choose)); }));
        if (repeat == 0) peak_bytes = bench::peak_bytes() - before_bytes;
        if (name == "k-center") read.add(read_seconds(embeddings, d));
    }
    nlohmann::json line{
        {"benchmark", "joint"},
        {"acquisition", name},
        {"rows", rows},
        {"k", options.k},
        {"threads", threads_in_use()},
        {"ranks", ranks},
        {"thresher_s", best.value},
        {"thresher_cpu_s", cpu.value},
        {"collectives", traffic.collectives},
        {"bytes", traffic.bytes},
        {"input_bytes", (embeddings.size() + log_probs.size()) * sizeof(float)},
        {"peak_bytes", peak_bytes},
        {"sum_of_gains", std::accumulate(selection.scores.begin(), selection.scores.end(), 0.0)}};
    if (acquisition->reads("embeddings")) line["embedding_size"] = d;
    if (acquisition->reads("log_probs")) line["samples"] = samples, line["classes"] = classes;
    if (name == "k-center") {
        const double bytes = static_cast<double>(embeddings.size() * sizeof(float));
        line["gb_per_s"] = 1e-9 * bytes * static_cast<double>(options.k) / cpu.value;
        line["read_gb_per_s"] = 1e-9 * bytes / read.value;
    }
    if (text("--picks", "no") == "yes") {
        line["ids"] = selection.ids;
        line["scores"] = selection.scores;
    }
    fmt::print("{}\n", line.dump());
}

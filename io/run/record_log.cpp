#include "io/run/record_log.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "io/atomic_file.hpp"
#include "io/checksum.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

namespace {

constexpr std::string_view kFirstLine = "thresher-records 2\n";

template <class T>
void put(std::string& bytes, const T& value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
T take(std::string_view& bytes) {
    T value{};
    std::memcpy(&value, bytes.data(), sizeof value);
    bytes.remove_prefix(sizeof value);
    return value;
}

[[noreturn]] void fail_call(const std::string& path, const char* what) {
    fail<FileError>("{}: {}: {}", path, what, std::strerror(errno));
}

}  // namespace

RecordLog::RecordLog(std::string path, const std::string& plan, std::int64_t metrics_each)
    : path_(std::move(path)),
      lock_(path_ + ".lock", "the table that is built here", "write another --output"),
      metrics_each_(metrics_each) {
    const std::string head = std::string(kFirstLine) + plan + '\n';
    std::size_t whole = 0;
    if (std::filesystem::exists(path_)) {
        const std::string text = read_file(path_);
        const bool begun = text.size() >= head.size();
        THRESHER_CHECK_AS(FileError, !begun || text.starts_with(head),
                          "{}: holds the records of another table; give the options it was begun "
                          "with, or remove it",
                          path_);
        if (begun) {
            const std::size_t sealed =
                sizeof(std::int64_t) + sizeof(double) * static_cast<std::size_t>(1 + metrics_each);
            const std::size_t each = sealed + sizeof(std::uint64_t);
            whole = head.size();
            for (std::string_view left = std::string_view(text).substr(whole);
                 left.size() >= each;) {
                const std::uint64_t seal = hash_of_bytes(left.substr(0, sealed));
                const auto number = take<std::int64_t>(left);
                Record record;
                record.seconds = take<double>(left);
                for (std::int64_t i = 0; i < metrics_each; ++i) {
                    record.metrics.push_back(take<double>(left));
                }
                if (take<std::uint64_t>(left) != seal) break;
                records_[number] = std::move(record);
                whole += each;
            }
        }
    }
    file_.emplace(path_, O_RDWR | O_CREAT);
    // What a killed job left of a record is cut off.
    if (::ftruncate(file_->get(), static_cast<off_t>(whole)) != 0) {
        fail_call(path_, "cannot be written");
    }
    file_->seek(static_cast<std::int64_t>(whole));
    if (whole == 0) file_->write(head);
}

void RecordLog::append(std::span<const std::int64_t> numbers, std::span<const double> metrics,
                       double seconds_each) {
    const auto each = static_cast<std::size_t>(metrics_each_);
    std::string bytes;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto own = metrics.subspan(i * each, each);
        const std::size_t begin = bytes.size();
        put(bytes, numbers[i]);
        put(bytes, seconds_each);
        for (const double metric : own) put(bytes, metric);
        // The seal: a record whose blocks never reached the disk is told from a whole one.
        put(bytes, hash_of_bytes(std::string_view(bytes).substr(begin)));
        records_[numbers[i]] = {seconds_each, {own.begin(), own.end()}};
    }
    // One call: a job that is killed leaves whole records, or at worst the beginning of one.
    file_->write(bytes);
}

void RecordLog::remove() {
    file_.reset();
    std::filesystem::remove(path_);
    lock_.remove();
}

}  // namespace thresher::io

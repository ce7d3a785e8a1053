#pragma once

// A directory that goes away after the test, small pools, and the message of what a call throws.

#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "io/pool/pool_writer.hpp"
#include "src/base/check.hpp"

namespace thresher::test {

class TemporaryDirectory {
  public:
    TemporaryDirectory() {
        std::string pattern = (std::filesystem::temp_directory_path() / "thresher-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr) fail("no temporary directory can be made");
        path_ = pattern;
    }
    ~TemporaryDirectory() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryDirectory(const TemporaryDirectory&) = delete;
    TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;

    std::string operator/(const std::string& name) const { return path_ + "/" + name; }
    const std::string& path() const { return path_; }

    std::vector<std::string> files() const {
        std::vector<std::string> names;
        for (const auto& entry : std::filesystem::directory_iterator(path_)) {
            names.push_back(entry.path().filename().string());
        }
        return names;
    }

  private:
    std::string path_;
};

/// The message of the Error that `call` throws; "nothing was thrown" otherwise.
inline std::string message_of(const std::function<void()>& call) {
    try {
        call();
    } catch (const Error& error) {
        return error.what();
    }
    return "nothing was thrown";
}

inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

/// Byte j of row i in the pools of these tests.
inline std::byte byte_of(std::int64_t row, std::int64_t element) {
    return static_cast<std::byte>((row * 31 + element * 7) % 251);
}

inline std::int64_t target_of(std::int64_t row) { return row % 5 == 4 ? -1 : row % 3; }

/// Rows of u8 [1, 2, 3] with targets, and where asked for ids 1000 + 2 * row and names.
struct SmallPool {
    std::int64_t rows = 100;
    bool ids = false, names = false;
    io::PoolWriterOptions options = {};

    void write(const std::string& path) const {
        io::PoolSchema schema;
        schema.input_shape = {1, 2, 3};
        schema.scale = 1.0 / 255.0;
        schema.targets = true;
        schema.class_names = {"ant", "bee", "cat"};
        schema.ids = ids;
        schema.names = names;
        io::PoolWriter writer(path, schema, {"thresher import", "seed = 7\n", 7, 1, ""}, options);
        // In pieces of 7 rows, so that pieces and shards do not end together.
        for (std::int64_t begin = 0; begin < rows; begin += 7) {
            std::vector<std::byte> inputs;
            std::vector<std::int64_t> targets, id;
            std::vector<std::string> name;
            for (std::int64_t row = begin; row < std::min(rows, begin + 7); ++row) {
                for (std::int64_t j = 0; j < 6; ++j) inputs.push_back(byte_of(row, j));
                targets.push_back(target_of(row));
                if (ids) id.push_back(1000 + 2 * row);
                if (names) name.push_back("row-" + std::to_string(row));
            }
            io::PoolRows piece;
            piece.rows = static_cast<std::int64_t>(targets.size());
            piece.inputs = inputs;
            piece.targets = targets;
            piece.ids = id;
            piece.names = name;
            writer.append(piece);
        }
        writer.set_normalisation({0.25}, {0.5});
        writer.finish();
    }
};

}  // namespace thresher::test

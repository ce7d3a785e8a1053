#pragma once

// Datasets as arrays of rows: the first axis is cut, the others are whole.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/hdf5/attributes.hpp"
#include "src/pool/blocks.hpp"

namespace thresher::io::hdf5 {

/// Element types in memory; in files they are little-endian. `other` is anything else
/// (compounds...).
enum class Type { uint8, int32, int64, uint64, float32, float64, text, other };

std::string type_name(Type type);

/// How a transfer over several ranks goes; independent for one rank.
enum class Transfer { independent, collective };

class Dataset {
  public:
    Dataset(Handle handle, std::string file, std::string name);

    const std::string& name() const { return name_; }
    const std::string& file() const { return file_; }
    const std::vector<std::int64_t>& shape() const { return shape_; }
    std::int64_t rows() const { return shape_.empty() ? 0 : shape_[0]; }
    std::int64_t elements_per_row() const;
    /// The type in the file; integers other than u8 and i32, u64 too, count as int64, f16 as
    /// float32. exact() tells whether bytes in the file are those in memory.
    Type type() const { return type_; }
    bool exact() const { return exact_; }
    bool is_integer() const;
    std::int64_t text_bytes() const { return text_bytes_; }  ///< of one fixed-length string
    std::string layout() const;  ///< "contiguous", "chunks of 512 x 784, compressed or filtered"
    /// Where the bytes of row 0 are in the file, the other rows following; none where they are not
    /// in one piece, or are not the bytes of memory_type(type()).
    std::optional<std::int64_t> file_offset() const;

    /// Rows [begin, end), converted to `type` by the library. `bytes` has exactly their size.
    void read_rows(RowRange rows, Type type, std::span<std::byte> bytes) const;
    void write_rows(RowRange rows, Type type, std::span<const std::byte> bytes,
                    Transfer transfer = Transfer::independent, bool* was_collective = nullptr);
    void resize_rows(std::int64_t rows);

    void read(RowRange rows, std::span<std::int64_t> values) const;
    void read(RowRange rows, std::span<float> values) const;
    void read(RowRange rows, std::span<double> values) const;
    /// Strings of fixed or variable length.
    std::vector<std::string> read_text(RowRange rows) const;
    void write_text(RowRange rows, std::span<const std::string> values);

    ObjectRef ref() const { return {handle_.id(), file_, name_}; }

  private:
    void check_not_cut() const;
    void check_not_clamped(RowRange rows, std::span<const std::byte> bytes) const;
    bool is_in_own_file() const;

    Handle handle_;
    std::string file_, name_;
    std::vector<std::int64_t> shape_;
    Type type_ = Type::other;
    bool exact_ = false;
    bool is_unsigned64_ = false;
    std::int64_t text_bytes_ = 0;
};

}  // namespace thresher::io::hdf5

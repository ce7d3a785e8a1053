#pragma once

// Attributes of files, groups and datasets: variable-length UTF-8 strings, numbers, and vectors of
// them.

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "io/hdf5/handle.hpp"

namespace thresher::io::hdf5 {

/// An open object together with the words for it in messages. Borrowed: must not outlive it.
struct ObjectRef {
    std::int64_t id;
    std::string file, name;
};

/// Writing replaces an attribute of the same name. All throw FileError.
void write_attribute(const ObjectRef& object, const std::string& name, const std::string& value);
void write_attribute(const ObjectRef& object, const std::string& name, std::int64_t value);
void write_attribute(const ObjectRef& object, const std::string& name, double value);
void write_attribute(const ObjectRef& object, const std::string& name,
                     const std::vector<double>& values);
void write_attribute(const ObjectRef& object, const std::string& name,
                     const std::vector<std::string>& values);

bool has_attribute(const ObjectRef& object, const std::string& name);

/// Nothing where there is no such attribute; FileError where it has another type. Strings of fixed
/// and of variable length, any integer and any floating-point type are understood; a scalar counts
/// as a vector of one.
std::optional<std::vector<std::string>> read_strings(const ObjectRef& object,
                                                     const std::string& name);
std::optional<std::vector<double>> read_numbers(const ObjectRef& object, const std::string& name);
std::optional<std::string> read_string(const ObjectRef& object, const std::string& name);
std::optional<double> read_number(const ObjectRef& object, const std::string& name);
std::optional<std::int64_t> read_integer(const ObjectRef& object, const std::string& name);

/// As text, whatever its type.
std::string attribute_text(const ObjectRef& object, const std::string& name);

}  // namespace thresher::io::hdf5

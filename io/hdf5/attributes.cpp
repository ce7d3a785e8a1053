#include "io/hdf5/attributes.hpp"

#include <hdf5.h>

#include <cstring>

#include "src/base/check.hpp"

namespace thresher::io::hdf5 {

namespace {

std::string words(const char* verb, const ObjectRef& object, const std::string& name) {
    return fmt::format("{} attribute {} of {}", verb, name, object.name);
}

Handle utf8_string_type() {
    Handle type(H5Tcopy(H5T_C_S1));
    H5Tset_size(type.id(), H5T_VARIABLE);
    H5Tset_cset(type.id(), H5T_CSET_UTF8);
    return type;
}

void write(const ObjectRef& object, const std::string& name, hid_t file_type, hid_t memory_type,
           hid_t space, const void* data) {
    const std::string what = words("write", object, name);
    if (has_attribute(object, name)) {
        checked(H5Adelete(object.id, name.c_str()), object.file, what);
    }
    const Handle attribute(
        checked(H5Acreate2(object.id, name.c_str(), file_type, space, H5P_DEFAULT, H5P_DEFAULT),
                object.file, what));
    checked(H5Awrite(attribute.id(), memory_type, data), object.file, what);
}

struct OpenAttribute {
    Handle handle, type, space;
    hsize_t size;
};

OpenAttribute open_attribute(const ObjectRef& object, const std::string& name) {
    const std::string what = words("read", object, name);
    OpenAttribute open;
    open.handle = Handle(checked(H5Aopen(object.id, name.c_str(), H5P_DEFAULT), object.file, what));
    open.type = Handle(checked(H5Aget_type(open.handle.id()), object.file, what));
    open.space = Handle(checked(H5Aget_space(open.handle.id()), object.file, what));
    const auto size = H5Sget_simple_extent_npoints(open.space.id());
    open.size = static_cast<hsize_t>(checked(size, object.file, what));
    return open;
}

}  // namespace

void write_attribute(const ObjectRef& object, const std::string& name, const std::string& value) {
    const auto guard = lock();
    const Handle type = utf8_string_type(), space(H5Screate(H5S_SCALAR));
    const char* text = value.c_str();
    write(object, name, type.id(), type.id(), space.id(), &text);
}

void write_attribute(const ObjectRef& object, const std::string& name, std::int64_t value) {
    const auto guard = lock();
    const Handle space(H5Screate(H5S_SCALAR));
    write(object, name, H5T_STD_I64LE, H5T_NATIVE_INT64, space.id(), &value);
}

void write_attribute(const ObjectRef& object, const std::string& name, double value) {
    const auto guard = lock();
    const Handle space(H5Screate(H5S_SCALAR));
    write(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, space.id(), &value);
}

void write_attribute(const ObjectRef& object, const std::string& name,
                     const std::vector<double>& values) {
    const auto guard = lock();
    const hsize_t size = values.size();
    const Handle space(H5Screate_simple(1, &size, nullptr));
    write(object, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, space.id(), values.data());
}

void write_attribute(const ObjectRef& object, const std::string& name,
                     const std::vector<std::string>& values) {
    const auto guard = lock();
    const hsize_t size = values.size();
    const Handle type = utf8_string_type(), space(H5Screate_simple(1, &size, nullptr));
    std::vector<const char*> texts;
    for (const std::string& value : values) texts.push_back(value.c_str());
    write(object, name, type.id(), type.id(), space.id(), texts.data());
}

bool has_attribute(const ObjectRef& object, const std::string& name) {
    const auto guard = lock();
    return checked(H5Aexists(object.id, name.c_str()), object.file,
                   words("look for", object, name)) > 0;
}

std::optional<std::vector<std::string>> read_strings(const ObjectRef& object,
                                                     const std::string& name) {
    const auto guard = lock();
    if (!has_attribute(object, name)) return std::nullopt;
    const OpenAttribute open = open_attribute(object, name);
    const std::string what = words("read", object, name);
    THRESHER_CHECK_AS(FileError, H5Tget_class(open.type.id()) == H5T_STRING,
                      "{}: attribute {} of {} is not text", object.file, name, object.name);
    std::vector<std::string> values;
    if (H5Tis_variable_str(open.type.id()) > 0) {
        std::vector<char*> texts(open.size, nullptr);
        const Handle type(H5Tcopy(open.type.id()));
        checked(H5Aread(open.handle.id(), type.id(), texts.data()), object.file, what);
        for (const char* text : texts) values.emplace_back(text != nullptr ? text : "");
        H5Dvlen_reclaim(type.id(), open.space.id(), H5P_DEFAULT, texts.data());
    } else {
        const std::size_t length = H5Tget_size(open.type.id());
        std::vector<char> text(length * open.size);
        checked(H5Aread(open.handle.id(), open.type.id(), text.data()), object.file, what);
        for (std::size_t i = 0; i < open.size; ++i) {
            const char* begin = text.data() + i * length;
            values.emplace_back(begin, strnlen(begin, length));
        }
    }
    return values;
}

std::optional<std::vector<double>> read_numbers(const ObjectRef& object, const std::string& name) {
    const auto guard = lock();
    if (!has_attribute(object, name)) return std::nullopt;
    const OpenAttribute open = open_attribute(object, name);
    const H5T_class_t kind = H5Tget_class(open.type.id());
    THRESHER_CHECK_AS(FileError, kind == H5T_FLOAT || kind == H5T_INTEGER,
                      "{}: attribute {} of {} is not a number", object.file, name, object.name);
    std::vector<double> values(open.size);
    checked(H5Aread(open.handle.id(), H5T_NATIVE_DOUBLE, values.data()), object.file,
            words("read", object, name));
    return values;
}

std::optional<std::string> read_string(const ObjectRef& object, const std::string& name) {
    const auto values = read_strings(object, name);
    if (!values || values->empty()) return std::nullopt;
    return values->front();
}

std::optional<double> read_number(const ObjectRef& object, const std::string& name) {
    const auto values = read_numbers(object, name);
    if (!values || values->empty()) return std::nullopt;
    return values->front();
}

std::optional<std::int64_t> read_integer(const ObjectRef& object, const std::string& name) {
    const auto guard = lock();
    if (!has_attribute(object, name)) return std::nullopt;
    const OpenAttribute open = open_attribute(object, name);
    THRESHER_CHECK_AS(FileError, H5Tget_class(open.type.id()) == H5T_INTEGER && open.size == 1,
                      "{}: attribute {} of {} is not one integer", object.file, name, object.name);
    std::int64_t value = 0;
    checked(H5Aread(open.handle.id(), H5T_NATIVE_INT64, &value), object.file,
            words("read", object, name));
    return value;
}

std::string attribute_text(const ObjectRef& object, const std::string& name) {
    const auto guard = lock();
    const OpenAttribute open = open_attribute(object, name);
    std::string text;
    const auto join = [&text](const std::string& value) {
        text += (text.empty() ? "" : ", ") + value;
    };
    const H5T_class_t kind = H5Tget_class(open.type.id());
    if (kind == H5T_STRING) {
        const auto values = read_strings(object, name);
        for (const std::string& value : *values) join(value);
    } else if (const auto integer = kind == H5T_INTEGER && open.size == 1
                                        ? read_integer(object, name)
                                        : std::nullopt) {
        join(std::to_string(*integer));
    } else if (kind == H5T_INTEGER || kind == H5T_FLOAT) {
        const auto values = read_numbers(object, name);
        for (double value : *values) join(fmt::format("{}", value));
    } else {
        return "(neither text nor numbers)";
    }
    return text;
}

}  // namespace thresher::io::hdf5

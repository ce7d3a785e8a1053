#include "io/hdf5/types.hpp"

#include <hdf5.h>

#include "src/base/check.hpp"

namespace thresher::io::hdf5 {

std::string type_name(Type type) {
    switch (type) {
        case Type::uint8:
            return "u8";
        case Type::int32:
            return "i32";
        case Type::int64:
            return "i64";
        case Type::uint64:
            return "u64";
        case Type::float32:
            return "f32";
        case Type::float64:
            return "f64";
        case Type::text:
            return "text";
        case Type::other:
            break;
    }
    return "of a type Thresher does not know";
}

FileType file_type(std::int64_t id) {
    const std::size_t size = H5Tget_size(id);
    switch (H5Tget_class(id)) {
        case H5T_INTEGER:
            if (H5Tequal(id, H5T_STD_U8LE) > 0) return {Type::uint8, true, 0};
            if (H5Tequal(id, H5T_STD_I32LE) > 0) return {Type::int32, true, 0};
            return {Type::int64, H5Tequal(id, H5T_STD_I64LE) > 0, 0,
                    size == 8 && H5Tget_sign(id) == H5T_SGN_NONE};
        case H5T_FLOAT:
            if (size <= 4) return {Type::float32, H5Tequal(id, H5T_IEEE_F32LE) > 0, 0};
            return {Type::float64, H5Tequal(id, H5T_IEEE_F64LE) > 0, 0};
        case H5T_STRING:
            if (H5Tis_variable_str(id) > 0) return {Type::text, false, 0};
            return {Type::text, true, static_cast<std::int64_t>(size)};
        default:
            return {Type::other, false, 0};
    }
}

std::int64_t memory_type(Type type) {
    switch (type) {
        case Type::uint8:
            return H5T_NATIVE_UINT8;
        case Type::int32:
            return H5T_NATIVE_INT32;
        case Type::int64:
            return H5T_NATIVE_INT64;
        case Type::uint64:
            return H5T_NATIVE_UINT64;
        case Type::float32:
            return H5T_NATIVE_FLOAT;
        case Type::float64:
            return H5T_NATIVE_DOUBLE;
        default:
            break;
    }
    fail("an array of {} cannot be transferred as numbers", type_name(type));
}

Handle make_file_type(Type type, std::int64_t text_bytes) {
    switch (type) {
        case Type::uint8:
            return Handle(H5Tcopy(H5T_STD_U8LE));
        case Type::int32:
            return Handle(H5Tcopy(H5T_STD_I32LE));
        case Type::int64:
            return Handle(H5Tcopy(H5T_STD_I64LE));
        case Type::uint64:
            return Handle(H5Tcopy(H5T_STD_U64LE));
        case Type::float32:
            return Handle(H5Tcopy(H5T_IEEE_F32LE));
        case Type::float64:
            return Handle(H5Tcopy(H5T_IEEE_F64LE));
        case Type::text: {
            Handle text(H5Tcopy(H5T_C_S1));
            H5Tset_size(text.id(), static_cast<std::size_t>(text_bytes));
            H5Tset_strpad(text.id(), H5T_STR_NULLPAD);
            H5Tset_cset(text.id(), H5T_CSET_UTF8);
            return text;
        }
        case Type::other:
            break;
    }
    fail("a dataset cannot be made {}", type_name(type));
}

std::int64_t bytes_of(Type type) {
    switch (type) {
        case Type::uint8:
            return 1;
        case Type::int32:
        case Type::float32:
            return 4;
        case Type::int64:
        case Type::uint64:
        case Type::float64:
            return 8;
        default:
            break;
    }
    fail("an element {} has no fixed size", type_name(type));
}

}  // namespace thresher::io::hdf5

#include "io/predictions/shared_writer.hpp"

#include "src/base/agreement.hpp"
#include "src/base/check.hpp"

namespace thresher::io {

SharedWriter::SharedWriter(const std::string& path, Overwrite overwrite, Collective& collective,
                           const SharedFileOpener& open_shared,
                           const std::function<void(hdf5::File& file)>& create)
    : collective_(collective), parallel_(collective.size() > 1) {
    agree(collective_, [&] {
        THRESHER_CHECK(!parallel_ || open_shared,
                       "{}: {} ranks need a way to open one file together", path,
                       collective_.size());
        if (!collective_.is_root()) return;
        place_.emplace(path, overwrite);
        hdf5::File file = hdf5::File::create(place_->temporary());
        create(file);
        file.close();
        // A disk that is too small must show here, on the root alone: where it fills up while all
        // ranks write together, MPI-IO may leave some of them waiting.
        reserve_space(place_->temporary());
    });
    agree(collective_, [&] {
        const std::string temporary = temporary_path(path);
        file_.emplace(parallel_ ? open_shared(temporary) : hdf5::File::open_writable(temporary));
    });
}

void SharedWriter::finish(const std::function<void(hdf5::File& file)>& complete) {
    // Where one rank cannot write its part, none goes on to close, for which each waits for all.
    agree(collective_, [&] { file_->flush(); });
    agree(collective_, [&] { file_->close(); });
    file_.reset();
    agree(collective_, [&] {
        if (!place_) return;
        hdf5::File file = hdf5::File::open_writable(place_->temporary());
        complete(file);
        file.close();
        place_->commit();
    });
}

}  // namespace thresher::io

#include "mpi/open_handles.hpp"

#include <mpi.h>

#include <algorithm>
#include <atomic>

namespace {

std::atomic<std::int64_t> communicators{0}, requests{0};

}  // namespace

namespace thresher::mpi {

void leave_open([[maybe_unused]] std::int64_t count) {
#ifndef NDEBUG
    requests -= count;
#endif
}

OpenHandles open_handles() { return {communicators.load(), requests.load()}; }

}  // namespace thresher::mpi

#ifndef NDEBUG

namespace {

int counted(int code, const MPI_Comm* made) {
    if (code == MPI_SUCCESS && *made != MPI_COMM_NULL) ++communicators;
    return code;
}

int counted(int code, const MPI_Request* begun) {
    if (code == MPI_SUCCESS && *begun != MPI_REQUEST_NULL) ++requests;
    return code;
}

}  // namespace

extern "C" {

int MPI_Comm_dup(MPI_Comm from, MPI_Comm* made_one) {
    return counted(PMPI_Comm_dup(from, made_one), made_one);
}

int MPI_Comm_split(MPI_Comm from, int color, int key, MPI_Comm* made_one) {
    return counted(PMPI_Comm_split(from, color, key, made_one), made_one);
}

int MPI_Comm_split_type(MPI_Comm from, int type, int key, MPI_Info info, MPI_Comm* made_one) {
    return counted(PMPI_Comm_split_type(from, type, key, info, made_one), made_one);
}

int MPI_Comm_free(MPI_Comm* communicator) {
    --communicators;
    return PMPI_Comm_free(communicator);
}

int MPI_Isend(const void* data, int count, MPI_Datatype type, int to, int tag,
              MPI_Comm communicator, MPI_Request* request) {
    return counted(PMPI_Isend(data, count, type, to, tag, communicator, request), request);
}

int MPI_Irecv(void* data, int count, MPI_Datatype type, int from, int tag, MPI_Comm communicator,
              MPI_Request* request) {
    return counted(PMPI_Irecv(data, count, type, from, tag, communicator, request), request);
}

int MPI_Imrecv(void* data, int count, MPI_Datatype type, MPI_Message* message,
               MPI_Request* request) {
    return counted(PMPI_Imrecv(data, count, type, message, request), request);
}

int MPI_Ibarrier(MPI_Comm communicator, MPI_Request* request) {
    return counted(PMPI_Ibarrier(communicator, request), request);
}

int MPI_Test(MPI_Request* request, int* done, MPI_Status* status) {
    const bool open = *request != MPI_REQUEST_NULL;
    const int code = PMPI_Test(request, done, status);
    if (open && *request == MPI_REQUEST_NULL) --requests;
    return code;
}

int MPI_Wait(MPI_Request* request, MPI_Status* status) {
    const bool open = *request != MPI_REQUEST_NULL;
    const int code = PMPI_Wait(request, status);
    if (open && *request == MPI_REQUEST_NULL) --requests;
    return code;
}

int MPI_Waitall(int count, MPI_Request* all, MPI_Status* statuses) {
    const auto open = [&] {
        return count - std::count(all, all + count, static_cast<MPI_Request>(MPI_REQUEST_NULL));
    };
    const auto before = open();
    const int code = PMPI_Waitall(count, all, statuses);
    requests -= before - open();
    return code;
}
}

#endif

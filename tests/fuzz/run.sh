#!/usr/bin/env bash
# Readers of HDF5 are left out unless named, as the library itself dies of some files (docs/security.md).
# Has libFuzzer change the seeds, with the address and undefined-behaviour sanitizers: bash tests/fuzz/run.sh [seconds each] [readers...]
# Skips, saying so, where there is no clang (apt-get install clang). What it finds is left in build/fuzz/<reader>/; put it into seeds/
# as <reader>-<what it is>, and mend the reader. Uses the configuration of build/ for the paths of libraries.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
build=${THRESHER_BUILD:-$root/build}
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
if ! command -v clang++ >/dev/null || ! echo 'extern "C" int LLVMFuzzerTestOneInput(const char*, unsigned long) { return 0; }' |
        clang++ -x c++ -fsanitize=fuzzer - -o /dev/null 2>/dev/null; then
    echo "fuzz: skipped, no clang++ with libFuzzer (apt-get install clang)"
    exit 0
fi
work=$build/fuzz
mkdir -p "$work"
cd "$root"

# What reads files, and no more: nothing of LibTorch.
sources=(tests/fuzz/fuzz.cpp tests/fuzz/readers.cpp)
mapfile -t -O ${#sources[@]} sources < <(git ls-files 'io/*.cpp' 'src/base/*.cpp' 'src/pool/*.cpp' 'src/policy/lookup_table/packed_subsets.cpp' src/policy/lookup_table/popcount.cpp |
    grep -vE 'parallel_file|example_source|io/derive|caption_shuffle|policy_file|describe')
# Paths and definitions as the library has them under the other compiler.
mapfile -t flags < <(ninja -C "$build" -t commands io/libthresher_io.a | grep -m 1 'io/provenance.cpp' |
    grep -oE ' (-D[^ ]+|-I[^ ]+|-isystem [^ ]+|-idirafter [^ ]+)' | sed 's/^ //; s/\\"/"/g' | tr ' ' '\n')
flags+=(-std=c++20 -g -O1 -fPIC "-fsanitize=fuzzer-no-link,address,undefined" -fno-sanitize-recover=undefined)
compiler=(clang++)
command -v ccache >/dev/null && compiler=(ccache clang++)
compile() {
    "${compiler[@]}" "${flags[@]}" -c "$1" -o "$work/objects/${1//\//_}.o"
}
mkdir -p "$work/objects"
for source in "${sources[@]}"; do
    while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
    compile "$source" &
done
wait
rm -f "$work/readers.a"
(cd "$work/objects" && ar rcs ../readers.a -- *.o)
clang++ -fsanitize=fuzzer,address,undefined "$work/objects/tests_fuzz_fuzz.cpp.o" "$work/readers.a" -o "$work/fuzz" \
    -L/usr/lib/x86_64-linux-gnu -l:libhdf5_openmpi.so -lmpi -lfmt -lspdlog -ljpeg -lpng -lz -lpugixml -lxxhash -lsentencepiece -lsentencepiece_train -lhwy -lpthread

if [ $# -eq 0 ]; then
    mapfile -t readers < <(grep -oE '\{"[a-z_]+", "[.a-z]+", true' tests/fuzz/readers.cpp | cut -d '"' -f 2)
else
    readers=("$@")
fi
failed=0
for reader in "${readers[@]}"; do
    scratch=$(mktemp -d)
    mkdir -p "$work/$reader/corpus"
    for seed in tests/fuzz/seeds/"$reader".* tests/fuzz/seeds/"$reader"-*; do
        [ ! -e "$seed" ] || cp "$seed" "$work/$reader/corpus/"
    done
    echo "== $reader, $seconds s"
    (cd "$work/$reader" && THRESHER_FUZZ_READER=$reader THRESHER_FUZZ_SCRATCH=$scratch ASAN_OPTIONS=detect_leaks=0 \
        "$work/fuzz" -max_total_time="$seconds" -rss_limit_mb=1024 -malloc_limit_mb=512 -max_len=20000 -timeout=10 \
        -print_final_stats=1 corpus >log.txt 2>&1) || { failed=1; tail -n 30 "$work/$reader/log.txt"; }
    grep -E 'number_of_executed|new_units|peak_rss' "$work/$reader/log.txt" || true
    rm -rf "$scratch"
done
exit $failed

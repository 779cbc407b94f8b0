#!/bin/sh
# SPDX-License-Identifier: MIT
# Whole runs on a GPU, or the emulated one: the same bits as on the processor, whatever is changed on the way.
# Usage: test_device.sh PROGRAM FOLDER [MPIRUN] (FOLDER to work in; emptied first)
set -u
. "$(dirname "$0")/runs.sh"
program=$(realpath "$1")
folder=$2
mpirun=${3:-}

"$program" version | grep -q '^cuda devices *cuda:0' || {
    echo "skipped: $("$program" version | grep '^cuda devices')"
    exit 77
}
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

run() { "$program" "$@" </dev/null >out 2>err || fail "eggroll $*: $(cat err)"; }
# same RUN OTHER WHAT
same() { [ -n "$(hash_of "$1")" ] && [ "$(hash_of "$1")" = "$(hash_of "$2")" ] || fail "$3: other bits than on the processor"; }
# What a run measured, without its clocks.
figures() { sed 's/"[a-z_]*seconds": [0-9.e+-]*,\{0,1\} *//g' "$1"/metrics.jsonl; }

write_text 120 >text
common="pretrain text --validations 2 --valid-fraction 0.1 --quiet"

# compare NAME OPTION...
compare() {
    name=$1
    shift
    run $common "$@" --out $name-cpu --device cpu
    run $common "$@" --out $name-cuda --device cuda
    same $name-cpu $name-cuda "$name"
    [ "$(figures $name-cpu)" = "$(figures $name-cuda)" ] || fail "$name: other metrics than on the processor"
    run verify $name-cuda
}
compare fractional --width 32 --layers 2 --population 36 --seq-len 5 --group-size 4 --epochs 3
compare vote --width 16 --layers 1 --population 26 --seq-len 7 --update vote --rank 2 --state reset --epochs 3
compare chunks --width 64 --layers 1 --population 40 --seq-len 9 --chunk 3 --rank 3 --epochs 2
compare wide --width 256 --layers 1 --population 6 --seq-len 11 --epochs 1 --valid-bytes 300

# From one to the other and back.
change="--width 16 --layers 2 --population 18 --seq-len 6"
for other in cpu cuda; do
    run $common $change --epochs 2 --out changed-$other --device $other
    run pretrain --resume changed-$other --epochs 4 --device cpu --quiet
    run pretrain --resume changed-$other --epochs 6 --device $other --quiet
done
same changed-cpu changed-cuda "resumed on another device"
run $common $change --epochs 6 --out undisturbed

# Several ranks, which share the GPU here.
if [ -n "$mpirun" ] && command -v "$mpirun" >/dev/null && "$program" version | grep -q 'mpi *yes'; then
    need_mpi "$mpirun"
    for sharding in none rows; do
        "$mpirun" $flags -n 2 "$program" $common $change --epochs 6 --check-epochs 2 --update-sharding $sharding \
            --device cuda --out ranks-$sharding </dev/null >out 2>err || fail "2 ranks, $sharding: $(cat err)"
        same undisturbed ranks-$sharding "2 ranks, $sharding"
    done
fi

run bench kernels --device cuda --width 16 --repetitions 1
grep -q "gru_sequence_i8, rank 1 of peak" out || fail "bench kernels: $(cat out)"

# What cannot be.
"$program" $common --device cuda:999 --out none >out 2>err && fail "cuda:999 was accepted"
grep -q "there is no cuda:999" err || fail "cuda:999: $(cat err)"
"$program" plan text --width 1024 --layers 64 --population 1048576 --device cuda >out 2>err && fail "64 GiB were planned"
grep -q "the run needs .* MiB of .*memory" err || fail "too large a plan: $(cat err)"

[ $failures -eq 0 ] || { echo "$failures failed"; exit 1; }

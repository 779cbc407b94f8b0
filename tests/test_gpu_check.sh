#!/bin/sh
# SPDX-License-Identifier: MIT
# What scripts/gpu-check makes of its arguments, and of programs that pass, fail, hang and are skipped.
# Usage: test_gpu_check.sh GPU_CHECK FOLDER     (FOLDER to work in; emptied first)
set -u
. "$(dirname "$0")/runs.sh"
command -v bash >/dev/null && command -v timeout >/dev/null || skip "there is no bash or no timeout"
gpu_check=$(realpath "$1")
rm -rf "$2" && mkdir -p "$2/tests" && cd "$2" || exit 1
EGGROLL_CUBLAS=none
export EGGROLL_CUBLAS

# ends STATUS WORDS ARGUMENT...
ends()
{
    expected=$1 words=$2
    shift 2
    bash "$gpu_check" "$@" >out 2>&1
    status=$?
    [ $status -eq "$expected" ] && grep -q -- "$words" out || fail "gpu-check $*: status $status, $(cat out)"
}
# row WORDS RESULT
row() { grep -q "^| $1.*| $2" out || fail "no row '$1: $2': $(cat out)"; }
# pretend NAME LINE: a program of one line
pretend() { printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1"; }

ends 0 "^Usage: scripts/gpu-check" --help
ends 2 "no option --fast" --fast
ends 2 "expected checks, sanitizer or bench, found 'all'" --only checks,all
ends 2 "expected a number of seconds, found '1m'" --limit 1m
ends 2 "wants a value" --pack
ends 1 "there is no eggroll in none" --packed none
ends 2 "without --pack and BUILD" --packed . build

# A pack of scripts.
echo "commit of a test" >origin
pretend eggroll 'echo "cuda devices   no driver"'
ends 1 "no GPU to check: no driver" --packed .

pretend eggroll 'case $1 in version) echo "cuda devices   cuda:0 fake" ;; bench) echo "figures: $2" ;; *) exit 1; esac'
pretend tests/check_kernels 'sleep 60'
pretend tests/check_cuda_i8 'echo "wrong: blocking ${CUDA_LAUNCH_BLOCKING:-0}"; exit 1'
pretend tests/test_tensor 'exit 77'
pretend tests/test_batch 'exit 0'
pretend tests/test_device.sh 'echo "$3 of $2"'
ends 1 "^[1-9][0-9]* failed" --packed . --only checks --limit 12
row "kernels against the reference" "TIMED OUT"
row "mma: int8 products" FAILED
row "mma: products of bf16" skipped
row "decoding of texts" passed
row "whole runs: bench" passed
grep -q "wrong: blocking 0" out && grep -q "wrong: blocking 1" out || fail "not tried again: $(cat out)"
ends 0 "^    figures: linear" --packed . --only bench --quick
grep -q "cuda:0 fake.*driver" out && grep -q "commit of a test, 20" out || fail "who was measured? $(cat out)"
[ $failures -eq 0 ] || { echo "$failures failed"; exit 1; }

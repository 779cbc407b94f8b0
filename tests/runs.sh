# SPDX-License-Identifier: MIT
# What the tests of whole runs share. To be sourced; 'program' is the program under test.
failures=0

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
skip() { echo "skipped: $*"; exit 77; }

# need_mpi MPIRUN: goes on only where several ranks can be started. '$flags' is what mpirun needs to start them here.
need_mpi()
{
    [ -n "$1" ] && command -v "$1" >/dev/null || skip "there is no mpirun"
    "$program" version | grep -q 'mpi *yes\|mpi *true' || skip "built without MPI"
    case $("$1" --version 2>&1) in
    *"Open MPI"* | *OpenRTE*) flags="--allow-run-as-root --oversubscribe" ;;
    *) flags= ;;
    esac
    ASAN_OPTIONS=detect_leaks=0   # MPI keeps what it has until the process ends
    export ASAN_OPTIONS
}

# The last value of a name in the JSON that comes in.
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | tail -n 1; }
hash_of() { "$program" info "$1" --json 2>/dev/null | value state_hash; }

# write_text LINES
write_text()
{
    i=0
    while [ $i -lt "$1" ]; do
        echo "line $i: the quick brown fox jumps over the lazy dog, $((i * i)) times and $((i % 7)) more"
        i=$((i + 1))
    done
}

# write_questions LINES: each with its answer
write_questions()
{
    i=0
    while [ $i -lt "$1" ]; do
        echo "{\"prompt\": \"question $i\", \"completion\": \" $((i * i))\"}"
        i=$((i + 1))
    done
}

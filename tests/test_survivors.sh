#!/bin/sh
# SPDX-License-Identifier: MIT
# Where MPI has ULFM, ranks that are left when another is killed go on by themselves, to the end that the run would have had.
# Usage: test_survivors.sh PROGRAM FOLDER LIBRARY [MPIRUN]    (FOLDER to work in, emptied first; LIBRARY: see kill_at.c)
set -u
. "$(dirname "$0")/runs.sh"
program=$(realpath "$1")
folder=$2
library=$3
mpirun=${4:-mpirun}

need_mpi "$mpirun"
"$mpirun" --version 2>&1 | grep -q 'Open MPI) \([5-9]\|[1-9][0-9]\)\.' || skip "this MPI has no ULFM; Open MPI 5 has"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

# killed RANKS VICTIM AT RUN ARGUMENT...: '$status' is mpirun's.
killed()
{
    n=$1 victim=$2 at=$3 run=$4
    shift 4
    "$mpirun" $flags --with-ft ulfm -n "$n" \
        env LD_PRELOAD="$library" EGG_KILL_RANK="$victim" EGG_KILL_AT="$at" \
        "$program" "$@" --quiet --threads 1 --out "$run" >out 2>err </dev/null
    status=$?
}

write_text 300 >text
pretrain="pretrain text --width 32 --layers 2 --population 192 --epochs 50 --valid-fraction 0.1 --save-epochs 5 --check-epochs 20"
rl="rl CartPole-v1 --preset none --population 66 --policy-width 16 --policy-layers 1 --epochs 40 --optimizer adam --clip-norm 1 --eval-epochs 10 --max-steps 60 --save-epochs 5 --check-epochs 20"
"$program" $pretrain --quiet --out pretrain || exit 1
"$program" $rl --quiet --out rl || exit 1

# In an evaluation, a gather, an update; with whole and shared rows, and with nobody left but rank 0.
case_number=0
for case in "pretrain 3 1 sum:60:300 none" "pretrain 3 2 allgather:30:0 rows" "pretrain 2 1 allgather:25:60 rows" \
    "rl 3 1 sum:50:200 rows" "rl 3 2 allgather:41:0 none"; do
    set -- $case
    case_number=$((case_number + 1))
    eval "arguments=\$$1"
    killed "$2" "$3" "$4" "run-$case_number" $arguments --update-sharding "$5"
    [ $status -eq 0 ] || fail "$case: status $status: $(cat out err)"
    grep -q 'the ranks that are left go on' err || fail "$case: nobody was lost, or nobody went on: $(cat out err)"
    [ "$(hash_of "run-$case_number")" = "$(hash_of "$1")" ] || fail "$case: $(hash_of "run-$case_number")"
done
# Rank 0 keeps the run: with it the job ends, and is resumed as ever.
killed 3 0 allgather:30:0 first $pretrain
[ $status -ne 0 ] || fail "rank 0 lost: status 0"
"$program" pretrain --resume first --quiet || fail "rank 0 lost: not resumed"
[ "$(hash_of first)" = "$(hash_of pretrain)" ] || fail "rank 0 lost, resumed: $(hash_of first)"

[ $failures -eq 0 ] && echo "$case_number jobs went on after a loss, to the same end"
exit $((failures > 0))

#!/bin/sh
# SPDX-License-Identifier: MIT
# Kills ranks at random moments, resumes with another number of ranks, kills again, and compares the end with that of a run
# that nobody disturbed. Saves are frequent, so that kills fall into all parts of an epoch and into saves.
# Usage: test_kill_ranks.sh PROGRAM FOLDER [REPETITIONS] [MPIRUN] [SEED]    (FOLDER to work in; emptied first)
set -u
program=$(realpath "$1")
folder=$2
repetitions=${3:-5}
mpirun=${4:-mpirun}
seed=${5:-1}
failures=0 kills=0 named=0

[ -n "$mpirun" ] && command -v "$mpirun" >/dev/null || { echo "skipped: there is no mpirun"; exit 77; }
"$program" version | grep -q 'mpi *yes\|mpi *true' || { echo "skipped: built without MPI"; exit 77; }
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1
case $("$mpirun" --version 2>&1) in
*"Open MPI"* | *OpenRTE*) flags="--allow-run-as-root --oversubscribe" ;;
*) flags= ;;
esac
ASAN_OPTIONS=detect_leaks=0
export ASAN_OPTIONS

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | tail -n 1; }
hash_of() { "$program" info "$1" --json 2>/dev/null | value state_hash; }

# random BELOW: the next number of a small generator.
random()
{
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    number=$((seed / 65536 % $1))
}

# The processes of a run, by the environment that its mpirun was given; not the launchers.
ranks_of()
{
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe" 2>/dev/null)" = "$program" ] || continue
        tr '\0' '\n' <"$process/environ" 2>/dev/null | grep -qx "EGG_TEST_RUN=$1" && echo "${process#/proc/}"
    done
}

# start RUN ARGUMENT...: as many ranks as come up, and perhaps one of them is killed; '$status' is mpirun's.
start()
{
    mark="$1-$$-$repetition"
    shift
    random 3
    size=$((number + 2))
    EGG_TEST_RUN=$mark "$mpirun" $flags -n $size "$program" "$@" --quiet --threads 1 >out 2>err </dev/null &
    launcher=$!
    killed=
    if [ $disturb -gt 0 ]; then
        random 200
        sleep "$(awk -v n=$number 'BEGIN { print 0.3 + n / 160 }')"
        victims=$(ranks_of "$mark")
        count=$(echo $victims | wc -w)
        if [ "$count" -gt 0 ]; then
            random $count
            killed=$(echo $victims | cut -d ' ' -f $((number + 1)))
            kill -9 "$killed" 2>/dev/null || killed=
        fi
    fi
    wait $launcher
    status=$?
    [ -z "$killed" ] || [ $status -eq 0 ] && return
    kills=$((kills + 1))
    grep -qi 'rank [0-9]\|PID [0-9]* RUNNING AT' out err && named=$((named + 1)) || fail "nobody named the rank: $(cat out err)"
    [ -z "$(ranks_of "$mark")" ] || sleep 1
    [ -z "$(ranks_of "$mark")" ] || fail "ranks outlive the job: $(ranks_of "$mark")"
}

# disturbed RUN HASH ARGUMENT...: is started, killed up to three times and resumed; must come to the same end.
disturbed()
{
    run=$1 expected=$2 command=$3
    shift 2
    disturb=3
    while :; do
        if [ -e "$run/config.json" ]; then
            start "$run" "$command" --resume "$run"
        else
            rm -rf "$run"
            start "$run" "$@" --out "$run"
        fi
        [ $status -eq 0 ] && break
        [ -n "$killed" ] || { fail "$run: status $status: $(cat err)"; return; }
        disturb=$((disturb - 1))
    done
    found=$(hash_of "$run")
    [ "$found" = "$expected" ] || fail "$run: $found instead of $expected"
}

i=0
while [ $i -lt 300 ]; do
    echo "line $i: the quick brown fox jumps over the lazy dog, $((i * i)) times and $((i % 7)) more"
    i=$((i + 1))
done >text
pretrain="pretrain text --width 64 --layers 2 --population 512 --epochs 400 --valid-fraction 0.1 --save-epochs 5 --check-epochs 20"
rl="rl CartPole-v1 --preset none --population 66 --policy-width 32 --policy-layers 1 --epochs 300 --optimizer adam --clip-norm 1 --eval-epochs 50 --max-steps 100 --save-epochs 5 --check-epochs 20"
"$program" $pretrain --quiet --out pretrain || exit 1
"$program" $rl --quiet --out rl || exit 1

repetition=1
while [ $repetition -le "$repetitions" ]; do
    begun=$seed
    case $((repetition % 3)) in 0) sharding=auto ;; 1) sharding=rows ;; 2) sharding=none ;; esac
    if [ $((repetition % 2)) = 1 ]; then
        disturbed pretrain-$repetition "$(hash_of pretrain)" $pretrain --update-sharding $sharding
    else
        disturbed rl-$repetition "$(hash_of rl)" $rl --update-sharding $sharding
    fi
    [ $failures -eq 0 ] || { echo "in repetition $repetition, which began with seed $begun"; exit 1; }
    repetition=$((repetition + 1))
done
[ $kills -gt 0 ] || fail "nothing was killed in time"
echo "$repetitions runs, $kills kills, $named of them named by the launcher: all ended like an undisturbed run"
exit $((failures > 0))

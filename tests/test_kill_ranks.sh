#!/bin/sh
# SPDX-License-Identifier: MIT
# Kills ranks, resumes with another number of ranks, kills again, and compares the end with that of a run that nobody
# disturbed. Kills fall by turns into evaluations, gathers, updates and saves, by a library that is loaded into the ranks
# (tests/kill_at.c), and into any moment, by a signal from here. Without that library ('') all of them are of the last kind.
# Usage: test_kill_ranks.sh PROGRAM FOLDER LIBRARY [REPETITIONS] [MPIRUN] [SEED]    (FOLDER to work in; emptied first)
set -u
. "$(dirname "$0")/runs.sh"
program=$(realpath "$1")
folder=$2
library=$3
repetitions=${4:-5}
mpirun=${5:-mpirun}
seed=${6:-1}
kills=0 turn=0 evaluations=0 gathers=0 updates=0 saves=0 moments=0

need_mpi "$mpirun"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

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

# Where the next kill falls: '$kind', '$victim' and '$at' (see kill_at.c), which is '' for a signal from here.
choose_kill()
{
    kinds="evaluations gathers updates saves moments"
    [ -n "$library" ] || kinds=moments
    turn=$((turn + 1))
    kind=$(echo $kinds | cut -d ' ' -f $(((turn - 1) % $(echo $kinds | wc -w) + 1)))
    random $size
    victim=$number
    random 120
    case $kind in
    evaluations) call=sum count=$((20 + 2 * number)) && random 3000 && at=$call:$count:$((number + 1)) ;;
    gathers) at=allgather:$((number + 3)):0 ;;
    updates) call=allgather count=$((number + 3)) && random 200 && at=$call:$count:$((number + 1)) ;;
    saves) victim=0 call=rename count=$((number / 4 + 3)) && random 3 && at=$call:$count:$((300 * number)) ;;
    moments) at= ;;
    esac
}

# kill_some RUN: after a while, one of its ranks.
kill_some()
{
    random 150
    sleep "$(awk -v n=$number 'BEGIN { print 0.2 + n / 160 }')"
    ranks=$(ranks_of "$1")
    count=$(echo $ranks | wc -w)
    [ "$count" -gt 0 ] || return
    random $count
    kill -9 "$(echo $ranks | cut -d ' ' -f $((number + 1)))" 2>/dev/null
}

# start RUN ARGUMENT...: with two to four ranks, of which one may be killed: '$killed'. '$status' is mpirun's.
start()
{
    mark="$1-$$-$repetition"
    shift
    random 3
    size=$((number + 2)) at= kind=
    [ $disturb -eq 0 ] || choose_kill
    EGG_TEST_RUN=$mark "$mpirun" $flags -n $size \
        env ${at:+"LD_PRELOAD=$library" "EGG_KILL_RANK=$victim" "EGG_KILL_AT=$at"} \
        "$program" "$@" --quiet --threads 1 >out 2>err </dev/null &
    launcher=$!
    [ "$kind" != moments ] || kill_some "$mark"
    wait $launcher
    status=$?
    killed=no
    [ $status -ne 0 ] || return
    grep -qi 'signal 9\|signal: *killed\|string: killed\|EXIT CODE: 9' out err && [ -n "$kind" ] ||
        { fail "status $status, and nobody was killed: $(cat out err)"; return; }
    killed=yes
    kills=$((kills + 1))
    eval "$kind=\$(($kind + 1))"
    grep -qi 'rank [0-9]\|PID [0-9]* RUNNING AT' out err || fail "nobody named the rank: $(cat out err)"
    tries=0
    while [ -n "$(ranks_of "$mark")" ] && [ $tries -lt 200 ]; do
        tries=$((tries + 1))
        sleep 0.1
    done
    [ $tries -lt 200 ] || fail "ranks outlive the job: $(ranks_of "$mark")"
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
        [ $killed = yes ] && [ $failures -eq 0 ] || { fail "$run: status $status"; return; }
        disturb=$((disturb - 1))
    done
    found=$(hash_of "$run")
    [ "$found" = "$expected" ] || fail "$run: $found instead of $expected"
}

write_text 300 >text
pretrain="pretrain text --width 32 --layers 2 --population 256 --epochs 200 --valid-fraction 0.1 --save-epochs 5 --check-epochs 20"
rl="rl CartPole-v1 --preset none --population 66 --policy-width 32 --policy-layers 1 --epochs 200 --optimizer adam --clip-norm 1 --eval-epochs 50 --max-steps 100 --save-epochs 5 --check-epochs 20"
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
echo "$repetitions runs, $kills kills: $evaluations in evaluations, $gathers in gathers, $updates in updates, $saves in saves," \
    "$moments at any moment; all ended like an undisturbed run"
exit $((failures > 0))

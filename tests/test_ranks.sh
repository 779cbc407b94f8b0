#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs over several ranks: the same bits for any number of ranks and threads and both ways to update; resuming with another
# number; the bytes that travel; stopping by a signal; failing together.
# Usage: test_ranks.sh PROGRAM FOLDER [MPIRUN [short]] (FOLDER to work in; emptied first)
# short: each kind of exchange once, for programs that a sanitizer slows down
set -u
program=$(realpath "$1")
folder=$2
mpirun=${3:-mpirun}
short=${4:-}
failures=0

[ -n "$mpirun" ] && command -v "$mpirun" >/dev/null || { echo "skipped: there is no mpirun"; exit 77; }
"$program" version | grep -q 'mpi *yes\|mpi *true' || { echo "skipped: built without MPI"; exit 77; }
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1
case $("$mpirun" --version 2>&1) in
*"Open MPI"* | *OpenRTE*) flags="--allow-run-as-root --oversubscribe" ;;
*) flags= ;;
esac
ASAN_OPTIONS=detect_leaks=0   # MPI keeps what it has until the process ends
export ASAN_OPTIONS

fail() { echo "FAILED: $*"; failures=$((failures + 1)); }
ranks() { n=$1; shift; "$mpirun" $flags -n "$n" "$program" "$@" </dev/null >out 2>err; }
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | tail -n 1; }
hash_of() { "$program" info "$1" --json | value state_hash; }
# same RUN HASH WHAT
same() { [ -n "$2" ] && [ "$(hash_of "$1")" = "$2" ] || fail "$3: $(hash_of "$1") instead of $2: $(cat err)"; }

i=0
while [ $i -lt 300 ]; do
    echo "line $i: the quick brown fox jumps over the lazy dog, $((i * i)) times and $((i % 7)) more"
    i=$((i + 1))
done >text

# --------------------------------------------------------------------------------------- any ranks, threads, sharding

# 46 pairs: no number of ranks but 2 divides them. Carried states move along when slices are weighed anew.
pretrain="pretrain text --width 32 --layers 2 --population 92 --group-size 4 --valid-fraction 0.1 --validations 2 --quiet"
carry="$pretrain --epochs 40 --check-epochs 7"
vote="$pretrain --epochs 12 --update vote --seq-len 8 --state reset --check-epochs 5"
rl="rl CartPole-v1 --preset none --population 42 --policy-width 16 --policy-layers 1 --epochs 20 --eval-epochs 8 --max-steps 60 --seed 3 --quiet --check-epochs 3"
clip="$rl --optimizer adam --clip-norm 0.05 --rate 0.05"
dense="$rl --algorithm openes --optimizer momentum --pairs independent --episodes 2"
counts="1 2 3 4" auto_counts="2 3" crowd=60
[ -z "$short" ] || { counts=3 auto_counts= crowd=; }
for kind in carry vote clip dense; do
    eval "arguments=\$$kind"
    "$program" $arguments --threads 2 --out $kind-alone >out 2>err || fail "$kind alone: $(cat err)"
    expected=$(hash_of $kind-alone)
    for n in $counts; do
        for sharding in none rows; do
            threads=$((1 + (n + ${#sharding} + ${#kind}) % 2))   # both 1 and 2 with every number of ranks
            [ $kind = carry ] || [ $kind = clip ] || [ $n -gt 2 ] || continue
            ranks $n $arguments --threads $threads --update-sharding $sharding --out $kind-$n-$sharding
            same $kind-$n-$sharding "$expected" "$kind, $n ranks x $threads threads, $sharding"
        done
    done
done
for n in $auto_counts; do
    for threads in 1 2; do
        ranks $n $carry --threads $threads --out carry-$n-$threads-auto
        same carry-$n-$threads-auto "$(hash_of carry-alone)" "carry, $n ranks x $threads threads, auto"
        ranks $n $clip --threads $threads --out clip-$n-$threads-auto
        same clip-$n-$threads-auto "$(hash_of clip-alone)" "clip, $n ranks x $threads threads, auto"
    done
done
[ "$(grep -c . carry-3-rows/metrics.jsonl)" = 40 ] || fail "metrics: $(grep -c . carry-3-rows/metrics.jsonl) lines, expected 40"
if [ -n "$crowd" ]; then
    ranks $crowd $vote --threads 1 --out vote-crowd   # more ranks than pairs
    same vote-crowd "$(hash_of vote-alone)" "vote, $crowd ranks"
fi

# -------------------------------------------------------------------------------------------------------------- resume

# The learning rate of 'fractional' falls with the budget; the rates of these do not know of one.
onward="$pretrain --update vote --alpha 0.3 --seq-len 8"
for sharding in none rows; do
    "$program" $onward --epochs 40 --threads 2 --out onward-$sharding-alone >out 2>err || fail "onward alone: $(cat err)"
    ranks 3 $onward --epochs 17 --update-sharding $sharding --out onward-$sharding --threads 1
    ranks 2 pretrain --resume onward-$sharding --epochs 40 --quiet --threads 1
    same onward-$sharding "$(hash_of onward-$sharding-alone)" "carried states, resumed with 2 ranks, $sharding"
    ranks 3 $clip --epochs 7 --update-sharding $sharding --out clip-on-$sharding --threads 1
    ranks 2 rl --resume clip-on-$sharding --epochs 20 --quiet --threads 1
    same clip-on-$sharding "$(hash_of clip-alone)" "rl, resumed with 2 ranks, $sharding"
done
"$program" pretrain --resume onward-rows --epochs 41 --quiet || fail "resumed alone: $?"

# ------------------------------------------------------------------------------------------------------------- traffic

widths="16 64"
[ -z "$short" ] || widths=   # only counted
# 2^20 members: bytes of fitness that a rank receives for every pair, and all bytes with the model 20 times as large.
large="pretrain text --population 1Mi --group-size 1Mi --epochs 2 --seq-len 1 --valid-fraction 0 --state reset --quiet --threads 1 --journal off"
for rule in vote fractional; do
    for width in $widths; do
        ranks 2 $large --width $width --update $rule --update-sharding none --out large-$rule-$width || fail "large: $(cat err)"
        fitness=$(value fitness_bytes_received <large-$rule-$width/metrics.jsonl)
        all=$(value bytes_received <large-$rule-$width/metrics.jsonl)
        case $rule in vote) limit=0.21 ;; *) limit=4 ;; esac
        awk -v f="$fitness" -v limit=$limit 'BEGIN { exit !(f > 0 && f / 524288 <= limit) }' ||
            fail "$rule: $fitness bytes of fitness for 524288 pairs, at most $limit a pair expected"
        awk -v f="$fitness" -v all="$all" 'BEGIN { exit !(all - f < 1000) }' ||
            fail "$rule, width $width: $all bytes, of which $fitness are fitness"
        echo "traffic, $rule, width $width: $fitness bytes of fitness, $all in all"
    done
done

# ------------------------------------------------------------------------------------------------------------- failing

ranks 2 pretrain no-such-text --epochs 1 --out none && fail "no text: status 0"
[ "$(grep -c 'no-such-text' err)" = 1 ] || fail "no text: told $(grep -c 'no-such-text' err) times: $(cat err)"
[ ! -e none ] || fail "no text: there is a folder"
mkdir elsewhere && { cat text; echo more; } >elsewhere/text
"$mpirun" $flags -n 2 "$program" pretrain text --epochs 1 --out differ --quiet : \
    -n 1 sh -c 'cd elsewhere && exec "$0" "$@"' "$program" pretrain text --epochs 1 --quiet >out 2>err </dev/null &&
    fail "another text: status 0"
grep -q "rank 2 on .*: the texts to train on differ" err || fail "another text: $(cat err)"
EGGROLL_MPI=off ranks 1 $vote --threads 1 --out off
same off "$(hash_of vote-alone)" "EGGROLL_MPI=off"

# A signal: the run is saved after the epoch, and goes on from there to the same end.
long="$pretrain --epochs 600 --seq-len 40"
"$program" $long --out long-alone || fail "long alone"
"$mpirun" $flags -n 3 "$program" $long --threads 1 --update-sharding rows --out stopped >out 2>err </dev/null &
pid=$!
i=0
until [ "$(grep -c . stopped/metrics.jsonl 2>/dev/null)" -ge 5 ] 2>/dev/null || [ $i -ge 600 ]; do
    i=$((i + 1))
    sleep 0.05
done
kill -USR1 $pid
wait $pid
saved=$("$program" info stopped --json | value epoch)
[ "$saved" -gt 0 ] && [ "$saved" -lt 600 ] && [ "$saved" = "$(value epoch <stopped/metrics.jsonl)" ] ||
    fail "signal: saved at epoch $saved, metrics until $(value epoch <stopped/metrics.jsonl): $(cat err)"
ranks 2 pretrain --resume stopped --quiet --threads 1
same stopped "$(hash_of long-alone)" "stopped by a signal at epoch $saved, resumed with 2 ranks"

[ $failures -eq 0 ] && echo "all ranks agree"
exit $((failures > 0))

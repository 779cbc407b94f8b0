#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs over several ranks: the same bits for any number of ranks and threads and both ways to update; resuming with another
# number; the bytes that travel; stopping by a signal; failing together.
# Usage: test_ranks.sh PROGRAM WRITE_RWKV7 FOLDER [MPIRUN [short]] (FOLDER to work in; emptied first)
# short: each kind of exchange once, for programs that a sanitizer slows down
set -u
. "$(dirname "$0")/runs.sh"
program=$(realpath "$1")
write_rwkv7=$(realpath "$2")
folder=$3
mpirun=${4:-mpirun}
short=${5:-}

need_mpi "$mpirun"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

ranks() { n=$1; shift; "$mpirun" $flags -n "$n" "$program" "$@" </dev/null >out 2>err; }
# same RUN HASH WHAT
same() { [ -n "$2" ] && [ "$(hash_of "$1")" = "$2" ] || fail "$3: $(hash_of "$1") instead of $2: $(cat err)"; }

write_text 300 >text

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

# --------------------------------------------------------------------------------------------------------- fine-tuning

# What a checkpoint of fine-tuning holds besides numbers such as seconds: weights and moments.
state_of() {
    header=$(od -A n -t u8 -N 8 "$1/checkpoint.safetensors" | tr -d ' ')
    tail -c +$((header + 9)) "$1/checkpoint.safetensors" | cksum
}
# same_tuned RUN OTHER WHAT
same_tuned() {
    [ -e "$2/checkpoint.safetensors" ] && [ "$(state_of "$1")" = "$(state_of "$2")" ] &&
        cmp -s "$1/model.safetensors" "$2/model.safetensors" &&
        { [ ! -e "$2/best.safetensors" ] || cmp -s "$1/best.safetensors" "$2/best.safetensors"; } ||
        fail "$3: not as alone: $(cat err)"
}

"$write_rwkv7" base.safetensors || fail "write_rwkv7"
write_questions 9 >texts.jsonl
# 11 pairs, 2 questions each; what answers score is mostly how they begin.
tune="finetune base.safetensors --preset none --population 22 --questions 2 --max-tokens 6 --epochs 5 --eval-epochs 2 --sigma 0.02 --seed 7 --check-epochs 2 --quiet"
sft="$tune --task sft --data texts.jsonl --valid-fraction 0.4 --optimizer adam --rate 0.01 --clip-norm 0.5"
countdown="$tune --task countdown --style plain --numbers 2-3 --number-range 1-9 --target-range 1-99 --puzzles 40 --valid-questions 5 --temperature 1 --grading graded"
reward='while IFS= read -r line; do id=${line#*: }; id=${id%%,*}; rest=${line#*completion}; printf "{\"id\": %s, \"reward\": %d}\n" "$id" "${#rest}"; done'
for kind in sft countdown sign rank; do
    case $kind in
    sft) arguments=$sft ;;
    countdown) arguments="$countdown --optimizer momentum --scoring group" ;;
    *) arguments="$countdown --scoring $kind --thaw vectors,head" ;;
    esac
    "$program" $arguments --threads 2 --out $kind-alone >out 2>err || fail "$kind alone: $(cat err)"
    for n in $counts; do
        for sharding in none rows; do
            for threads in 1 2; do
                # All of them for one kind; of the others both numbers of threads with every number of ranks.
                [ -z "$short" ] || [ $n$sharding$threads = 3rows2 ] || continue
                [ $kind = sft ] || [ $threads = $((1 + (n + ${#sharding}) % 2)) ] || continue
                [ $kind = sft ] || [ $kind = countdown ] || [ $n -gt 2 ] || continue
                ranks $n $arguments --threads $threads --update-sharding $sharding --out $kind-$n-$sharding-$threads
                same_tuned $kind-$n-$sharding-$threads $kind-alone "$kind, $n ranks x $threads threads, $sharding"
            done
        done
    done
done
cmp -s sft-alone/model.safetensors base.safetensors && fail "fine-tuning: moved nothing"
grep -q '"valid"' sft-3-rows-2/metrics.jsonl || fail "fine-tuning on 3 ranks: no validation in the metrics"
ranks 3 $sft --threads 1 --out sft-auto
same_tuned sft-auto sft-alone "sft, 3 ranks, auto"
[ -n "$short" ] || "$program" verify sft-3-none-2 >out 2>err || fail "verify of a run on 3 ranks: $(cat err)"
"$program" verify sft-3-rows-2 >out 2>err || fail "verify of a run on 3 ranks, rows: $(cat err)"
for sharding in none rows; do
    ranks 3 $sft --epochs 2 --threads 1 --update-sharding $sharding --out sft-on-$sharding
    ranks 2 finetune --resume sft-on-$sharding --epochs 5 --threads 1 --quiet
    same_tuned sft-on-$sharding sft-alone "sft, begun on 3 ranks, resumed on 2, $sharding"
    ranks 2 $sft --epochs 3 --threads 1 --update-sharding $sharding --out sft-off-$sharding
    "$program" finetune --resume sft-off-$sharding --epochs 5 --quiet >out 2>err
    same_tuned sft-off-$sharding sft-alone "sft, begun on 2 ranks, resumed alone, $sharding"
done

# Programs that grade are started by every rank.
"$program" $tune --task jsonl --data texts.jsonl --reward "$reward" --valid-fraction 0.2 --out graded-alone >out 2>err ||
    fail "graded alone: $(cat err)"
ranks 3 $tune --task jsonl --data texts.jsonl --reward "$reward" --valid-fraction 0.2 --out graded
same_tuned graded graded-alone "a reward program on 3 ranks"
ranks 2 $tune --task jsonl --data texts.jsonl --reward 'echo broken >&2; exit 3' --valid-fraction 0.2 --out broken &&
    fail "a reward program that breaks: status 0"
[ "$(grep -c 'broken' err)" = 1 ] || fail "a reward program that breaks: told $(grep -c broken err) times: $(cat err)"

# Ranks that read different data are told apart.
mkdir other && head -n 8 texts.jsonl >other/texts.jsonl && cp base.safetensors other
"$mpirun" $flags -n 2 "$program" $sft --out differ-tuned : \
    -n 1 sh -c 'cd other && exec "$0" "$@"' "$program" $sft >out 2>err </dev/null && fail "other questions: status 0"
grep -q "rank 2 on .*: the questions to train on differ" err || fail "other questions: $(cat err)"

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

# Moments that every rank has a part of, and epochs that only the journal has: rank 0 needs all of them for a while.
ranks 3 $clip --epochs 7 --update-sharding rows --out tail --threads 1
cp tail/checkpoint.safetensors early.safetensors
ranks 4 rl --resume tail --epochs 12 --quiet --threads 1
cp early.safetensors tail/checkpoint.safetensors
ranks 2 rl --resume tail --epochs 20 --threads 1
grep -q 'gave 5 epochs' out || fail "the tail of a journal: $(cat out err)"
same tail "$(hash_of clip-alone)" "rl, epochs 8 to 12 from the journal, on 2 ranks, rows"
"$program" verify tail >out 2>err || fail "verify of that: $(cat err)"
! ls -A tail | grep -q memory || fail "left behind: $(ls -A tail)"

# What a rank keeps of the optimizer is its share.
planned() {
    ranks 4 $sft --update-sharding "$1" --thaw vectors,embedding,head --threads 1 --plan
    sed -n 's/^ *optimizer, scratch for updating *\([0-9.]*\) MiB$/\1/p' out
}
awk -v whole="$(planned none)" -v part="$(planned rows)" 'BEGIN { exit !(part > 0 && part < 0.7 * whole) }' ||
    fail "plan: $(planned rows) MiB of the optimizer's on a rank of 4 that shares rows out, $(planned none) MiB else"
planned rows >/dev/null
[ "$(grep -c 'rows on their way' out)" = 1 ] || fail "plan: no rows travel, or several ranks tell: $(cat out)"

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

# Float models: one float a pair, or its sign; only ranks need both members' returns.
members="rl CartPole-v1 --preset none --population 16Ki --max-steps 3 --epochs 2 --eval-epochs 2 --eval-episodes 1 --quiet --threads 1 --journal off"
for rule in zscore sign rank; do
    for width in 16 64; do
        ranks 3 $members --shaping $rule --policy-width $width --update-sharding none --out members-$rule-$width ||
            fail "members: $(cat err)"
        case $rule in sign) limit=0.21 ;; zscore) limit=4 ;; *) limit=8 ;; esac
        fitness=$(value fitness_bytes_received <members-$rule-$width/metrics.jsonl)
        awk -v f="$fitness" -v limit=$limit 'BEGIN { exit !(f > 0 && f / 8192 <= limit) }' ||
            fail "$rule: $fitness bytes of fitness for 8192 pairs, at most $limit a pair expected"
    done
    echo "traffic, rl, $rule: $fitness bytes of fitness, $(value bytes_received <members-$rule-64/metrics.jsonl) in all"
    [ "$(value bytes_received <members-$rule-16/metrics.jsonl)" = "$(value bytes_received <members-$rule-64/metrics.jsonl)" ] ||
        fail "$rule: the traffic depends on the width"
done
fitness=$(value fitness_bytes_received <countdown-3-rows-2/metrics.jsonl)
[ "${fitness:-0}" -gt 0 ] && [ "$fitness" -le 44 ] || fail "fine-tuning: '$fitness' bytes of fitness for 11 pairs"

# ------------------------------------------------------------------------------------------------------------- failing

ranks 2 pretrain no-such-text --epochs 1 --out none && fail "no text: status 0"
[ "$(grep -c 'no-such-text' err)" = 1 ] || fail "no text: told $(grep -c 'no-such-text' err) times: $(cat err)"
[ ! -e none ] || fail "no text: there is a folder"
"$mpirun" $flags -n 1 sh -c 'sleep 2; exec "$0" "$@"' "$program" pretrain --no-such-flag : \
    -n 1 "$program" pretrain --no-such-flag >out 2>err </dev/null && fail "a wrong flag: status 0"
[ "$(grep -c 'no-such-flag' err)" = 1 ] ||
    fail "a wrong flag, rank 0 sees it last: told $(grep -c 'no-such-flag' err) times: $(cat err)"
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

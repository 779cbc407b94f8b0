#!/bin/sh
# SPDX-License-Identifier: MIT
# The program as its users meet it: what it prints, how it ends, what it leaves behind.
# Usage: test_cli.sh PROGRAM FOLDER (to work in; emptied first)
set -u
program=$1
folder=$2
failures=0

data=$(cd "$(dirname "$0")/../../shared/data" 2>/dev/null && pwd)

rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

fail()
{
    echo "FAILED: $*"
    sed 's/^/    out: /' out
    sed 's/^/    err: /' err
    failures=$((failures + 1))
}

# ends STATUS ARGUMENT...: runs the program; its output is in 'out' and 'err'.
ends()
{
    wanted=$1
    shift
    "$program" "$@" >out 2>err </dev/null
    status=$?
    [ $status -eq "$wanted" ] || fail "eggroll $*: status $status, expected $wanted"
    last="eggroll $*"
}

says() { grep -qF -e "$1" out || fail "$last: '$1' is not in the output"; }
complains() { grep -qF -e "$1" err || fail "$last: '$1' is not in the errors"; }
silent() { [ ! -s out ] && [ ! -s err ] || fail "$last: expected no output"; }

# The value of a key in the JSON text on standard input.
value() { sed -n "s/.*\"$1\": *\"\{0,1\}\([^\",}]*\).*/\1/p" | head -n 1; }

# same WHAT A B
same() { [ -n "$2" ] && [ "$2" = "$3" ] || fail "$1: '$2' and '$3'"; }

# --------------------------------------------------------------------------------------------------------------- help

commands=$("$program" help | sed -n 's/^  \([a-z]*\)  .*/\1/p')
for command in pretrain rl finetune patch eval generate play export replay verify info plan envs version; do
    echo "$commands" | grep -qx "$command" || fail "help does not list $command"
done
for command in $commands; do
    ends 0 "$command" --help
    says "Usage: eggroll $command"
    says "Examples"
    awk 'length > 100 { exit 1 }' out || fail "$last: a line of more than 100 columns"
    cp out help
    ends 0 help "$command"
    cmp -s out help || fail "$last: not what --help prints"
    ends 2 "$command" --no-such-flag
    complains "--no-such-flag: unknown option of '$command'"
done
ends 0 --help
ends 0 --version
says "eggroll "
ends 0 version
says "kernel level in use"
ends 0 version --json
same "version" "eggroll $(value version <out)" "$("$program" --version)"
ends 0 manual
says ".TH EGGROLL 1"
for flag in population learning\\-rate resume temperature; do says "\\-\\-$flag"; done

# ----------------------------------------------------------------------------------------------------- wrong arguments

ends 2
complains "Usage: eggroll COMMAND"
ends 2 pretain x
complains "unknown command 'pretain'; did you mean 'pretrain'?"
complains "Try 'eggroll --help'."
ends 2 frobnicate
complains "unknown command 'frobnicate'"
ends 2 --frobnicate
ends 2 help frobnicate
ends 2 pretrain x --populaton 4
complains "--populaton: unknown option of 'pretrain'; did you mean 'population'?"
complains "Try 'eggroll pretrain --help'."
ends 2 pretrain x --temperature 1
complains "--temperature: an option of 'generate', not of 'pretrain'"
ends 2 pretrain x --population abc
complains "--population: expected an integer from 2 to 4194304, found 'abc'"
ends 2 pretrain x --population=1
complains "found '1'"
ends 2 pretrain x --population
complains "--population: expected N after it, found nothing"
ends 2 pretrain x --no-quiet=true
complains "--no-quiet: takes no value"
ends 2 pretrain x --learning-rate nan
ends 2 pretrain x --update best
complains "--update: expected one of fractional|vote, found 'best'"
ends 2 pretrain x -x
complains "unknown flag '-x'"
ends 2 pretrain
complains "DATA is missing"
ends 2 eval
complains "MODEL is missing"
ends 2 eval model
complains "DATA is missing"
ends 2 generate
ends 2 generate a b
complains "'b' is one argument too many"
ends 2 finetune
complains "MODEL is missing"
ends 2 finetune none.safetensors
complains "--task is missing: expected sft, countdown, gsm8k or jsonl"
ends 2 finetune none.safetensors --task jsonl --data none.jsonl
complains "--reward: --task jsonl needs a program"
ends 1 finetune none.safetensors --task countdown --plan
complains "none.safetensors"
ends 2 patch none.safetensors none.patch
complains "--out is missing"
ends 1 patch none.safetensors none.patch --out tuned.safetensors
complains "none.patch"
ends 2 info
ends 2 plan

printf '{\n  "population": 64,\n  "widht": 16\n}\n' >config.json
ends 2 pretrain x --config config.json
complains "config.json:3: widht: unknown option of 'pretrain'; did you mean 'width'?"
printf '{\n  "width": "16"\n}\n' >config.json
ends 2 pretrain x --config config.json
complains "config.json:2: width: expected an integer, found a text"
printf '{\n  "width": 16,\n}\n' >config.json
ends 2 pretrain x --config config.json
complains "config.json:3: "
ends 1 pretrain x --config missing.json
complains "missing.json: cannot open"

# ------------------------------------------------------------------------------------------------------- train and use

awk 'BEGIN {
    for (i = 0; i < 3000; i++) printf "%d times %d is %d;%s", i % 12, i % 7, (i % 12) * (i % 7), i % 5 ? " " : "\n"
}' >text.txt
small="--population 64 --width 16 --threads 2"

ends 2 pretrain text.txt $small --device gpu
complains "--device: expected cpu, cuda or cuda:N, found 'gpu'"
ends 2 pretrain text.txt $small --device cuda:
ends 1 pretrain text.txt $small --device cuda:9999 --out nowhere
complains "--device: there is no "
[ ! -e nowhere ] || fail "$last: left a run behind"
ends 1 rl CartPole-v1 --epochs 1 --device cuda:9999 --out nowhere
complains "--device: there is no "
[ ! -e nowhere ] || fail "$last: left a run behind"
ends 2 eval text.txt --device cuda

ends 2 pretrain text.txt $small --population 63 --out odd
complains "--population: 63 is odd"
ends 1 pretrain missing.txt $small
complains "missing.txt: cannot open"
[ ! -e runs ] || fail "a run that never began left a folder"
: >empty.txt
ends 1 pretrain empty.txt $small --out none
complains "empty.txt"

ends 0 pretrain text.txt $small --epochs 20 --validations 4 --seed 3 --out first
says "unigram"
says "what next    eggroll generate first"
same "lines of validations" "$(grep -c '^ *[0-9]* *[0-9.]*%' out)" 4
if LC_ALL=C grep -q '[^[:print:]]' out; then fail "$last: control characters in a log"; fi
for file in config.json model.safetensors metrics.jsonl; do [ -s first/$file ] || fail "$last: no $file"; done
ends 2 pretrain text.txt $small --epochs 20 --out first
complains "already holds a run"
ends 0 pretrain text.txt $small --epochs 2 --quiet
silent
ends 0 pretrain text.txt $small --epochs 2 -q
same "default folders" "$(ls -d runs/*/model.safetensors | wc -l | tr -d ' ')" 2

# Flags count more than the file, wherever they stand; a dash in front needs "--".
printf '{"population": 64, "width": 16, "threads": 1, "seed": 5, "epochs": 2}\n' >config.json
cp text.txt ./-text.txt
ends 0 pretrain --seed 3 --config config.json --out=configured -q -- -text.txt
same "seed in config.json" "$(value seed <configured/config.json)" 3
ends 0 pretrain --config configured/config.json --out again -q text.txt
same "width in config.json" "$(value width <again/config.json)" 16

ends 0 info first
says "architecture"
ends 0 info first --json
for key in kind architecture parameters model_hash state_hash epoch options; do says "\"$key\""; done
same "epoch" "$(value epoch <out)" 20
model_hash=$(value model_hash <out)
ends 0 info first/model.safetensors --json
same "hash of the model file" "$(value model_hash <out)" "$model_hash"
ends 1 info text.txt
ends 1 info "$folder"

# ------------------------------------------------------------------------------------------------------- the journal

ends 0 verify first
says "verified"
ends 0 verify first --json
same "epoch verified" "$(value epoch <out)" 20
same "hash verified" "$(value model_hash <out)" "$model_hash"
ends 0 replay first --epoch 7 --out seventh.safetensors
says "written       seventh.safetensors"
ends 0 info seventh.safetensors --json
same "epoch of a replayed model" "$(value epoch <out)" 7
ends 0 eval seventh.safetensors text.txt
ends 0 replay first/journal.egg --out last.safetensors --threads 1
cmp -s last.safetensors first/model.safetensors || fail "$last: not the model of the run"
ends 2 replay first --epoch 21
complains "ends with epoch 20"
ends 2 replay
complains "RUN is missing"
ends 1 replay text.txt
complains "not a journal"
ends 1 verify "$folder"
ends 0 pretrain text.txt $small --epochs 2 --journal off --quiet --out without
[ ! -e without/journal.egg ] || fail "$last: left a journal"
ends 1 verify without
complains "journal.egg: cannot open"

cp -R first damaged
bytes=$(wc -c <first/journal.egg)
head -c $((bytes - 3)) first/journal.egg >damaged/journal.egg
ends 0 replay damaged
complains "cut short"
printf 'xxxxxxxxxxxxxxxx' | dd of=damaged/journal.egg bs=1 seek=$((bytes / 2)) conv=notrunc 2>/dev/null
ends 1 verify damaged
complains "damaged/journal.egg: record"
ends 1 pretrain --resume damaged --epochs 30
complains "is damaged"
ends 0 pretrain --resume damaged --epochs 21 --journal off --quiet

ends 0 eval first text.txt
says "bits per byte"
ends 0 eval first text.txt --json
for key in bits_per_byte bytes bytes_per_second documents seconds; do says "\"$key\""; done
same "scored bytes" "$(value bytes <out)" $(($(wc -c <text.txt) - 1))
bits=$(value bits_per_byte <out)
ends 0 eval first/model.safetensors --json --threads 1 -- -text.txt
same "score on one thread" "$(value bits_per_byte <out)" "$bits"
"$program" eval first - --json <text.txt >out 2>err
same "score of standard input" "$(value bits_per_byte <out)" "$bits"

ends 0 generate first --prompt 'one ' --bytes 100 --seed 4
same "bytes of prompt and text" "$(wc -c <out | tr -d ' ')" 104
cp out text.4
ends 0 generate first --prompt 'one ' --bytes 100 --seed 4 --threads 1
cmp -s out text.4 || fail "$last: another text with the same seed"
ends 0 generate first --prompt 'one ' --bytes 100 --seed 5
if cmp -s out text.4; then fail "$last: the same text with another seed"; fi
ends 2 generate first --prompt 'one ' --stop x
same "bytes before an error" "$(wc -c <out | tr -d ' ')" 0
ends 0 generate first --bytes 10 --streams 3
same "streams" "$(LC_ALL=C grep -a -c '^--- [123] ---$' out)" 3
if [ -w /dev/full ]; then
    "$program" generate first --bytes 10 >/dev/full 2>err
    same "status on a full device" $? 1
    grep -q "cannot write to standard output" err || fail "a full device is not told of"
fi

ends 0 plan text.txt $small
says "The run fits."
ends 0 plan text.txt $small --json
for key in parameters items total_bytes available_bytes fits; do says "\"$key\""; done

# ---------------------------------------------------------------------------------------------- reinforcement learning

little="--preset none --population 32 --policy-width 32 --policy-layers 1 --threads 2"
ends 0 envs
says "CartPole-v1"
ends 0 envs --json
says '"observations": 4'
ends 2 rl
complains "ENV is missing"
ends 2 rl CartPool
complains "'CartPool': no environment of this name; the nearest are CartPole-v1"
ends 2 rl CartPole-v1 --sigma 0
complains "--sigma"
ends 2 rl CartPole-v1 --episodes 0.5
ends 1 rl ./missing.so
complains "./missing.so: cannot load the plug-in"
[ "$(ls runs | wc -l | tr -d ' ')" = 2 ] || fail "a run of rl that never began left a folder"
ends 0 rl cartpole $little --epochs 6 --eval-epochs 2 --eval-episodes 4 --out pole
says "what next    eggroll eval pole"
same "lines of evaluations" "$(grep -c '^ *[0-9]* *[0-9.]*%' out)" 3
for file in config.json model.safetensors checkpoint.safetensors metrics.jsonl; do [ -s pole/$file ] || fail "no pole/$file"; done
same "lines of metrics" "$(wc -l <pole/metrics.jsonl | tr -d ' ')" 6
ends 2 rl CartPole-v1 --out pole
complains "already holds a run"
ends 2 rl CartPole-v1 --resume pole
complains "has its environment already"
ends 2 rl --resume pole --rank 4
complains "--rank: the run in 'pole' has 1, found 4"
ends 0 rl --resume pole --epochs 8 --quiet
silent
ends 0 info pole --json
same "epoch" "$(value epoch <out)" 8
for key in environment model_hash state_hash env_steps; do says "\"$key\""; done
ends 0 eval pole --episodes 20 --json
for key in return_mean return_std episodes; do says "\"$key\""; done
same "episodes" "$(value episodes <out)" 20
mean=$(value return_mean <out)
ends 0 eval pole/model.safetensors --episodes 20 --json --threads 1
same "return on one thread" "$(value return_mean <out)" "$mean"
ends 2 eval pole text.txt
complains "a policy is scored in its environment"
ends 1 generate pole
complains "architecture 'mlp'"
ends 0 play pole --seed 3
says "the end"
ends 0 export pole --out pole.h
says "pole_act()"
ends 2 export pole
complains "--out is missing"
ends 1 play text.txt

# A resumed run ends with the bits of one that was not interrupted.
ends 0 rl Pendulum $little --epochs 4 --quiet --out half
ends 0 rl --resume half --epochs 7 --quiet
ends 0 rl Pendulum $little --epochs 7 --quiet --out full --threads 1
same "model of a resumed run" "$("$program" info half --json | value model_hash)" "$("$program" info full --json | value model_hash)"

# Members multiply with rounded copies of the matrices, which the update packs anew.
returned() { sed -n 's/.*"return_mean": \([^,]*\).*/\1/p' "$1/metrics.jsonl" | tr '\n' ' '; }
for weights in bf16 int8; do
    ends 0 rl Pendulum $little --weights $weights --epochs 2 --quiet --out $weights
    ends 0 rl --resume $weights --epochs 7 --quiet --threads 1
    ends 0 rl Pendulum $little --weights $weights --epochs 7 --quiet --out again-$weights
    same "returns of a resumed run, $weights" "$(returned $weights)" "$(returned again-$weights)"
    [ "$(returned $weights)" != "$(returned full)" ] || fail "$weights: the returns of float32"
    ends 0 verify $weights
    ends 0 eval $weights --episodes 8 --json
    mean=$(value return_mean <out)
    ends 0 eval $weights --weights $weights --episodes 8 --json
    [ "$(value return_mean <out)" != "$mean" ] || fail "$weights: the score of float32"
done
ends 2 rl --resume bf16 --weights f32 --epochs 9
complains "--weights: the run in 'bf16' has bf16, found f32"
ends 2 rl Pendulum $little --weights bf16 --activations bf16 --out none
complains "goes with --device cuda, found --device cpu"
ends 2 eval bf16 --activations bf16
complains "goes with --weights bf16 or int8"

# ------------------------------------------------------------------------------------------------- interrupted, resumed

# begin LOG ARGUMENT...: starts a run and waits until it has saved an epoch.
begin()
{
    log=$1
    shift
    env $default_signals "$program" pretrain text.txt "$@" --save-epochs 3 >"$log" 2>err &
    process=$!
    tries=1000
    while [ $tries -gt 0 ] && ! awk 'END { exit NR < 4 }' "$run/metrics.jsonl" 2>/dev/null && kill -0 $process 2>/dev/null
    do
        sleep 0.02
        tries=$((tries - 1))
    done
}

state_hash() { "$program" info "$1" --json | value state_hash; }

# A shell starts what runs in the background with SIGINT ignored, and the program respects that.
default_signals=
signals="TERM 143"
if env --default-signal=INT true 2>/dev/null; then
    default_signals=--default-signal=INT
    signals="$signals INT 130"
fi

# About a second of work, so that the signals below meet a run that is under way.
work="--population 4096 --width 64 --epochs 60 --seed 7"
ends 0 pretrain text.txt $work --out whole --threads 1
whole=$(state_hash whole)

run=killed
begin log $work --out $run
kill -9 $process 2>/dev/null
wait $process 2>/dev/null
ends 0 pretrain --resume $run --threads 2
same "state of a run killed and resumed" "$(state_hash $run)" "$whole"

run=killed-reset   # without carried states the journal gives back what came after the last save
ends 0 pretrain text.txt $work --state reset --out whole-reset --threads 2 --quiet
begin log $work --state reset --save-seconds 1000000 --out $run
kill -9 $process 2>/dev/null
wait $process 2>/dev/null
ends 0 pretrain --resume $run --threads 1
same "state of a run killed and resumed by its journal" "$(state_hash $run)" "$(state_hash whole-reset)"
ends 0 verify $run
ends 0 verify killed

set -- $signals
while [ $# -gt 0 ]; do
    run=stopped-$1
    begin log $work --epochs 1000000 --out $run
    kill -s "$1" $process
    wait $process
    same "status after $1" $? "$2"
    cp log out
    last="interrupted run"
    says "eggroll pretrain --resume $run"
    saved=$("$program" info $run --json | value epoch)
    trained=$(sed -n 's/^read .* and \([0-9]*\) epochs$/\1/p' log)
    same "epochs saved after $1" "$saved" "$trained"
    ends 0 pretrain --resume $run --epochs $((saved + 1))
    same "epochs of the resumed run" "$("$program" info $run --json | value epoch)" $((saved + 1))
    shift 2
done
ends 0 pretrain --resume whole
says "The budget of this run is used"
ends 2 pretrain --resume whole --width 32
complains "--width"
ends 1 pretrain --resume nowhere

# Benchmarks refuse what a run would refuse.
ends 2 bench population --population 3
complains "--population"
ends 2 bench scaling --width 50
complains "--width"
ends 2 bench speed
complains "no suite"

# A folder that vanishes: the run goes on, and its end tells that nothing was saved.
run=vanishing
begin log $work --epochs 2000 --out $run
mv $run gone   # at once, while files in it come and go
kill -s TERM $process
wait $process
same "status of a run that could not be saved" $? 1
cp log out
says "not saved"
grep -q "cannot write" err || fail "the vanished folder is not told of"

# ---------------------------------------------------------------------------------------------------------- a terminal

if ! script -qec true /dev/null </dev/null >/dev/null 2>&1; then
    echo "skipped: the live line, for want of a pseudo-terminal or of util-linux' script"
else
    run="'$program' pretrain text.txt $small --minutes 0.02 --validations 2 --out watched"
    TERM=xterm script -qec "stty cols 50; $run" script.log >out 2>err </dev/null
    last="a run on a terminal"
    says "eggroll generate watched"
    # The live line is rewritten in place, within the width of the terminal.
    grep -q "$(printf '\r\033\[K')" out || fail "$last: no live line"
    tr '\r' '\n' <out | awk '/^\033\[K/ && length(last) >= 50 { wide = 1 }
                             { last = $0; sub(/^\033\[K/, "", last) }
                             END { exit wide }' || fail "$last: a live line is wider than the terminal"
fi

# ------------------------------------------------------------------------------------------------------------- RWKV-7

tiny=$data/rwkv7-tiny-834k.safetensors
if [ -f "$tiny" ] && [ -f "$data/tinyshakespeare.txt" ] && [ -f "$data/rwkv_vocab_v20230424.txt" ]; then
    head -c 2001 "$data/tinyshakespeare.txt" >held-out.txt
    ends 0 info "$tiny" --json
    same "the tiny RWKV-7" "$(value architecture <out) $(value layers <out) $(value vocabulary <out)" "rwkv7 12 256"
    ends 0 eval "$tiny" held-out.txt --json
    same "the score of the tiny RWKV-7" "$(value bits_per_byte <out | cut -c 1-5)" 5.375
    same "bytes scored" "$(value bytes <out)" 2000
    ends 0 generate "$tiny" --prompt 'The king' --bytes 40 --seed 4
    cp out king
    ends 0 generate "$tiny" --prompt 'The king' --bytes 40 --seed 4 --threads 2
    cmp -s out king || fail "$last: not the same text again"
    ends 0 generate "$tiny" --prompt 'The king' --bytes 40 --seed 4 --weights bf16
    cmp -s out king || fail "$last: not the same text, of weights that are bfloat16"
    ends 0 eval "$tiny" held-out.txt --json --weights int8
    same "the score of the tiny RWKV-7 in int8" "$(value bits_per_byte <out | cut -c 1-4)" 5.37
    ends 2 eval first held-out.txt --weights int8
    complains "--weights: only for RWKV-7 and policies"
    ends 0 generate "$tiny" --prompt 'The king' --bytes 40 --streams 3 --stop 'e|\n'
    says "--- 3 ---"
    ends 2 generate "$tiny" --stop 'a||b'
    complains "--stop: 'a||b' holds an empty text"
    ends 2 generate "$tiny" --vocab "$data/rwkv_vocab_v20230424.txt"
    complains "--vocab: the vocabulary has tokens up to 65529, the model knows 256 of them"
    ends 1 generate "$tiny" --vocab held-out.txt
    complains "held-out.txt: line 1 is 'First Citizen:'"
else
    echo "RWKV-7: skipped, no data"
fi

[ $failures -eq 0 ] && echo "passed" && exit 0
echo "$failures failed"
exit 1

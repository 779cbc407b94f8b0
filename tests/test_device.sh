#!/bin/sh
# SPDX-License-Identifier: MIT
# Whole runs on a GPU, or the emulated one. Pretraining: the same bits as on the processor, whatever is changed on the
# way. Float models: the same bits on the device whatever is changed, and verified on the processor.
# Usage: test_device.sh PROGRAM WRITE_RWKV7 PART FOLDER [MPIRUN [short]]     PART: pretrain, rl, finetune or bench
# (FOLDER to work in; emptied first)    short: each kind of thing once, for programs that a sanitizer slows down
set -u
. "$(dirname "$0")/runs.sh"
program=$(realpath "$1")
write_rwkv7=$(realpath "$2")
part=$3
folder=$4
mpirun=${5:-}
short=${6:-}

"$program" version | grep -q '^cuda devices *cuda:0' || {
    echo "skipped: $("$program" version | grep '^cuda devices')"
    exit 77
}
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

run() { "$program" "$@" </dev/null >out 2>err || fail "eggroll $*: $(cat err)"; }
# same RUN OTHER WHAT [cuda]
same()
{
    [ -n "$(hash_of "$1")" ] && [ "$(hash_of "$1")" = "$(hash_of "$2")" ] ||
        fail "$3: other bits than on the ${4:-processor}"
}
# What a run measured, without its clocks.
figures() { sed 's/"[a-z_]*seconds": [0-9.e+-]*,\{0,1\} *//g' "$1"/metrics.jsonl; }

# Where several ranks can be started: the ways to share out an update, and how many ranks; else none.
shardings= counts=
if [ -n "$mpirun" ] && command -v "$mpirun" >/dev/null && "$program" version | grep -q 'mpi *yes'; then
    need_mpi "$mpirun"
    shardings="none rows" counts="2 3"
    [ -z "$short" ] || { shardings=rows; counts=3; }
fi
# over RANKS ARGUMENT...
over()
{
    n=$1
    shift
    "$mpirun" $flags -n "$n" "$program" "$@" </dev/null >out 2>err || fail "$n ranks, eggroll $*: $(cat err)"
}

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
# same_run RUN OTHER WHAT: metrics, too
same_run() { same "$1" "$2" "$3" cuda; [ "$(figures "$1")" = "$(figures "$2")" ] || fail "$3: other metrics"; }
# near VALUE OTHER WHAT: within a thousandth
near()
{
    awk -v a="$1" -v b="$2" 'BEGIN { d = a - b; exit !(a != "" && b != "" && d * d <= 1e-6 * a * a) }' ||
        fail "$3: $2 instead of $1"
}
figure() { sed -n "s/.*\"$2\": \([^,}]*\).*/\1/p" "$1/metrics.jsonl" | tail -n 1; }
# wrote MODEL DEVICE OPTION...: texts
wrote()
{
    model=$1 device=$2
    shift 2
    "$program" generate "$model" --device "$device" --prompt "line " --bytes 12 "$@" 2>&1 || echo "failed: $device $*"
}
# score MODEL ARGUMENT...: without its clock
score() { { "$program" eval "$@" --json 2>&1 || echo "failed: $*"; } | sed 's/, "seconds".*//'; }
equal_tuned() { cmp -s "$1/model.safetensors" "$2/model.safetensors" || fail "$3: other bits than alone"; }

part_pretrain()
{
    compare fractional --width 32 --layers 2 --population 36 --seq-len 5 --group-size 4 --epochs 3
    [ -n "$short" ] || compare vote --width 16 --layers 1 --population 26 --seq-len 7 --update vote --rank 2 --state reset --epochs 3
    [ -n "$short" ] || compare chunks --width 64 --layers 1 --population 40 --seq-len 9 --chunk 3 --rank 3 --epochs 2
    wide="--width 256 --layers 1 --population 6 --seq-len 11 --epochs 1 --validations 1 --valid-bytes 200"
    compare wide $wide

    # Hopper's own products, where the GPU has them.
    if EGGROLL_CUDA=wgmma "$program" plan text --device cuda >out 2>err; then
        EGGROLL_CUDA=wgmma run $common $wide --out wgmma --device cuda
        same wide-cpu wgmma "wgmma"
    else
        grep -q "wgmma is for compute capability 9.0" err || fail "EGGROLL_CUDA=wgmma: $(cat err)"
    fi
    EGGROLL_CUDA=none "$program" plan text --device cuda >out 2>err && fail "EGGROLL_CUDA=none was accepted"
    grep -q "EGGROLL_CUDA: 'none' is no way to multiply" err || fail "EGGROLL_CUDA=none: $(cat err)"

    # Using a model.
    head -n 4 text >few && tr '\n' '\000' <few >lines   # each a document
    for words in few lines; do
        [ "$(score fractional-cpu $words)" = "$(score fractional-cpu $words --device cuda)" ] ||
            fail "$words: $(score fractional-cpu $words --device cuda)"
    done
    options="--streams 3 --temperature 1 --top-p 0.9"
    [ "$(wrote fractional-cpu cpu $options)" = "$(wrote fractional-cpu cuda $options)" ] ||
        fail "other texts: $(wrote fractional-cpu cuda $options)"
    "$program" eval fractional-cpu text --device cuda:999 >out 2>err && fail "eval on cuda:999 was accepted"
    grep -q "there is no cuda:999" err || fail "eval on cuda:999: $(cat err)"

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
    for sharding in $shardings; do
        over 2 $common $change --epochs 6 --check-epochs 2 --update-sharding $sharding --device cuda --out ranks-$sharding
        same undisturbed ranks-$sharding "2 ranks, $sharding"
    done

    # What cannot be.
    "$program" $common --device cuda:999 --out none >out 2>err && fail "cuda:999 was accepted"
    grep -q "there is no cuda:999" err || fail "cuda:999: $(cat err)"
    "$program" plan text --width 1024 --layers 64 --population 1048576 --chunk 524288 --seq-len 1000 --device cuda >out 2>err &&
        fail "7 TiB were planned"
    grep -q "the run needs .* MiB of .*memory" err || fail "too large a plan: $(cat err)"
}

part_rl()
{
    # Layers of several groups of rows, moments and gradients to keep, episodes of several lengths.
    cart="rl CartPole-v1 --preset none --population 14 --policy-width 144 --policy-layers 1 --max-steps 15 --eval-epochs 2
        --eval-episodes 3 --optimizer adam --clip-norm 0.5 --sigma 0.1 --rate 0.02 --threads 2 --quiet"
    run $cart --device cuda --epochs 6 --out cart
    run verify cart
    # What is chosen for speed changes nothing.
    run $cart --device cuda --epochs 6 --out cart-slots --slots 2 --threads 1
    same_run cart cart-slots "another number of slots"
    # Interrupted, and once more with a save that is behind its journal, whose epochs are then applied on the device.
    run $cart --device cuda --epochs 2 --out cart-resumed
    mkdir saved && cp cart-resumed/checkpoint* cart-resumed/model* saved
    run rl --resume cart-resumed --epochs 4 --device cuda --quiet
    cp saved/* cart-resumed
    run rl --resume cart-resumed --epochs 6 --device cuda --quiet
    same_run cart cart-resumed "resumed"
    # To the processor and back; each part is verified by what did it.
    run $cart --device cuda --epochs 2 --out cart-moved
    run rl --resume cart-moved --epochs 4 --device cpu --quiet
    run rl --resume cart-moved --epochs 6 --device cuda --quiet
    run verify cart-moved

    for options in "--optimizer sgd" "--algorithm openes --optimizer momentum --clip-norm 0.1" \
        "--optimizer adamw --freeze log_std --rank 3" "--pairs independent --episodes 2 --policy deterministic"; do
        rm -rf other
        run rl Pendulum-v1 --preset none --population 12 --policy-width 16 --policy-layers 1 --max-steps 9 --epochs 2 \
            --eval-episodes 2 $options --quiet --device cuda --out other
        run verify other
    done

    [ "$(score cart --device cuda --threads 1)" = "$(score cart --device cuda --threads 2)" ] ||
        fail "other episodes with another number of threads: $(score cart --device cuda --threads 2)"
    [ -n "$short" ] || score cart --device cuda --episodes 5000 | grep -q '"episodes": 5000' ||   # not all at once
        fail "5000 episodes: $(score cart --device cuda --episodes 5000)"
    # Rounded copies of the matrices, and rounded activations.
    for options in "--weights bf16" "--weights int8 --activations bf16"; do
        rm -rf cart-rounded
        run $cart --device cuda --epochs 6 --out cart-rounded $options
        [ "$(figures cart)" != "$(figures cart-rounded)" ] || fail "$options: nothing was rounded"
        run verify cart-rounded
        run eval cart-rounded --device cuda --episodes 3 $options
    done
    run $cart --device cuda --plan
    grep -q "device: optimizer, scratch for updating" out || fail "plan of a policy: $(cat out)"
    "$program" $cart --device cuda --policy-width 4096 --policy-layers 64 --population 131072 --slots 65536 \
        --plan >out 2>err && fail "280 GiB were planned"
    grep -q "the run needs .* MiB of .*memory" err || fail "too large a policy: $(cat err)"

    for sharding in $shardings; do
        for n in $counts; do
            rm -rf cart-ranks saved && mkdir saved
            over $n $cart --device cuda --epochs 2 --update-sharding $sharding --check-epochs 1 --out cart-ranks
            cp cart-ranks/checkpoint* cart-ranks/model* saved
            over $n rl --resume cart-ranks --epochs 4 --quiet
            cp saved/* cart-ranks
            over $n rl --resume cart-ranks --epochs 6 --quiet
            same cart cart-ranks "$n ranks, policies, $sharding" cuda
            run verify cart-ranks
        done
    done
}

part_finetune()
{
    others="bf16 int8"
    [ -z "$short" ] || others=bf16
    # Fine-tuning. Float results are near the processor's; on the device itself they are the same however a run is carried out.
    "$write_rwkv7" base.safetensors || fail "write_rwkv7"
    write_questions 9 >texts.jsonl
    tune="finetune base.safetensors --preset none --population 14 --questions 2 --max-tokens 6 --epochs 3 --eval-epochs 2 --sigma 0.02
        --seed 7 --check-epochs 2 --quiet"
    sft="$tune --task sft --data texts.jsonl --valid-fraction 0.4 --optimizer adam --rate 0.01 --clip-norm 0.5"
    countdown="$tune --task countdown --style plain --numbers 2-3 --number-range 1-9 --target-range 1-99 --puzzles 40
        --valid-questions 5 --temperature 1 --grading graded --optimizer momentum --scoring group --thaw vectors,head,embedding"
    for weights in f32 $others; do
        for device in cpu cuda; do run $sft --weights $weights --device $device --out sft-$weights-$device; done
        for name in reward_mean valid gradient_norm; do
            near "$(figure sft-$weights-cpu $name)" "$(figure sft-$weights-cuda $name)" "sft, $weights, $name"
        done
    done
    # Using a model.
    head -n 4 text >few && tr '\n' '\000' <few >lines
    for weights in f32 $others; do
        for words in few lines; do
            for device in cpu cuda; do
                "$program" eval sft-f32-cuda $words --weights $weights --device $device --json >score-$device 2>err ||
                    fail "eval, $weights, $device: $(cat err)"
            done
            near "$(value bits_per_byte <score-cpu)" "$(value bits_per_byte <score-cuda)" "eval, $weights"
        done
        [ "$(wrote sft-f32-cuda cuda --weights $weights | head -c 17)" = \
            "$(wrote sft-f32-cuda cuda --weights $weights --streams 5 | sed -n 2p | head -c 17)" ] ||
            fail "generate, $weights: a text depends on its neighbours: $(wrote sft-f32-cuda cuda --weights $weights)"
    done
    for weights in $others; do
        run $sft --weights $weights --activations bf16 --device cuda --out sft-$weights-rounded
        cmp -s sft-$weights-cuda/model.safetensors sft-$weights-rounded/model.safetensors &&
            fail "$weights: no activation was rounded"
        rounded=$(figure sft-$weights-rounded valid)
        awk -v a="$(figure sft-$weights-cuda valid)" -v b="$rounded" \
            'BEGIN { exit !(a != "" && b != "" && (a - b)^2 <= 1e-4 * a^2) }' ||
            fail "$weights, rounded activations: $rounded instead of $(figure sft-$weights-cuda valid)"
        exact=$(score sft-f32-cuda few --weights $weights --device cuda)
        rounded=$(score sft-f32-cuda few --weights $weights --device cuda --activations bf16)
        [ "$exact" != "$rounded" ] || fail "eval, $weights: no activation was rounded: $rounded"
        run generate sft-f32-cuda --weights $weights --activations bf16 --device cuda --bytes 20
    done
    "$program" $sft --weights bf16 --activations bf16 --out none >out 2>err && fail "rounded activations on a processor"
    grep -q "found --device cpu" err || fail "rounded activations on a processor: $(cat err)"
    "$program" $sft --activations bf16 --device cuda --out none >out 2>err && fail "rounded activations of float32 weights"
    grep -q "goes with --weights" err || fail "rounded activations of float32 weights: $(cat err)"
    run $countdown --device cuda --out countdown
    run $countdown --device cuda --rows 3 --epochs 2 --out parted
    run finetune --resume parted --epochs 3 --device cuda --rows 5 --quiet
    equal_tuned countdown parted "countdown, resumed, with few rows at once"
    run finetune --resume parted --epochs 4 --device cpu --quiet
    run finetune --resume parted --epochs 5 --device cuda --quiet
    run verify countdown
    run $countdown --device cuda --plan
    grep -q "memory of the device" out || fail "plan of a fine-tuning: $(cat out)"
    for sharding in $shardings; do
        over 2 $sft --device cuda --update-sharding $sharding --out sft-$sharding
        equal_tuned sft-f32-cuda sft-$sharding "sft, 2 ranks, $sharding"
    done
}

part_bench()
{
    run bench kernels --device cuda --width 16 --repetitions 1
    grep -q "gru_sequence_i8, rank 1 of peak" out || fail "bench kernels: $(cat out)"
    for suite in decode finetune; do
        run bench $suite --device cuda --width 16 --layers 1 --population 2 --seq-len 1 --repetitions 1
        for row in population "population_vs_[a-z]*" "device memory, planned" memory_vs_plan; do
            grep -q "^  $row  *[0-9]*[1-9.]" out || fail "bench $suite: no $row: $(cat out)"
        done
    done

    # What cannot be.
    for suite in decode finetune; do
        "$program" bench $suite --device cuda --width 64 --layers 64 --population 1048576 >out 2>err &&
            fail "bench $suite: 1048576 members were measured"
        grep -q "need .* MiB of the device's memory" err || fail "bench $suite, too many members: $(cat err)"
    done
}

part_$part
[ $failures -eq 0 ] || { echo "$failures failed"; exit 1; }

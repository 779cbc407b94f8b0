#!/bin/sh
# SPDX-License-Identifier: MIT
# Three hosts in one machine: network namespaces with a name each, a virtual switch between them, and one rank on each. Ranks
# find each other over that network only. A run over it ends like a run alone; so does one that lost a rank, and one whose
# link was cut, after it was resumed.
# All of it lives in namespaces of this script's own, which end with it: nothing has to be cleaned up on the machine.
# Usage: test_namespaces.sh PROGRAM FOLDER [MPIRUN]    (FOLDER to work in; emptied first)
set -u
. "$(dirname "$0")/runs.sh"

if [ "${EGG_TEST_INSIDE:-}" != yes ]; then
    mpirun=${3:-mpirun}
    program=$1
    need_mpi "$mpirun"
    # MPICH 4.0 with UCX: over TCP alone a rank now and then never returns from MPI_Finalize, with everything saved.
    "$mpirun" --version 2>&1 | grep -q 'Open MPI\|OpenRTE' || skip "only with Open MPI"
    for command in unshare nsenter ip; do
        command -v $command >/dev/null || skip "there is no '$command' (packages util-linux, iproute2)"
    done
    own="--map-root-user --net --mount --uts --pid --fork --kill-child --mount-proc"
    unshare $own true 2>/dev/null || skip "namespaces are not permitted here"
    EGG_TEST_INSIDE=yes exec unshare $own sh "$0" "$@"
fi

program=$(realpath "$1")
folder=$2
mpirun=${3:-mpirun}
hosts="1 2 3"
rm -rf "$folder" && mkdir -p "$folder" && cd "$folder" || exit 1

lines() { grep -c . "$1/metrics.jsonl" 2>/dev/null || :; }

# ------------------------------------------------------------------------------------------------------------- network

build_network()
{
    mount -t tmpfs none /run && mkdir /run/netns && ip link add name switch type bridge &&
        ip link set dev switch up || return 1
    for i in $hosts; do
        ip netns add host$i && ip link add name port$i type veth peer name eth0 netns host$i &&
            ip link set dev port$i master switch up && ip -n host$i link set dev lo up &&
            ip -n host$i address add 10.77.0.$i/24 dev eth0 && ip -n host$i link set dev eth0 up || return 1
        # A host that does not answer is given up within seconds, not a quarter of an hour.
        ip netns exec host$i sh -c 'echo 3 >/proc/sys/net/ipv4/tcp_retries2' || return 1
    done
}

build_network >network 2>&1 || skip "no network of namespaces: $(tail -n 1 network)"

# What ssh is elsewhere: agent ADDRESS COMMAND..., the command in the words of a shell.
cat >agent <<'END'
#!/bin/sh
host=host${1##*.}
shift
exec nsenter --net=/run/netns/$host unshare --uts sh -c "hostname $host; $*"
END
chmod +x agent
agent=$PWD/agent
addresses=$(for i in $hosts; do echo 10.77.0.$i; done | paste -sd , -)
# No shared memory, which real hosts have not. mpirun asks its daemons every second whether they are there.
flags="--allow-run-as-root --host $addresses --mca plm_rsh_agent $agent --mca btl tcp,self --mca pml ob1
    --mca oob_tcp_keepalive_time 1 --mca oob_tcp_keepalive_intvl 1 --mca oob_tcp_keepalive_probes 2"

# launch RUN ARGUMENT...: a rank on each host, in the background; mpirun runs on the first.
launch()
{
    EGG_TEST_RUN=$1
    export EGG_TEST_RUN
    shift
    "$agent" 10.77.0.1 exec "$mpirun" $flags -n 3 "$program" "$@" --quiet --threads 1 >out 2>err </dev/null &
    launcher=$!
}

# finish RUN SECONDS WHAT: waits for mpirun, '$status' is its; and then for the ranks, which end with it.
finish()
{
    waited=0
    while kill -0 $launcher 2>/dev/null && [ $waited -lt $(($2 * 10)) ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    if kill -0 $launcher 2>/dev/null; then
        fail "$3: the job goes on after $2 seconds: $(cat out err)"
        kill -9 $launcher
    fi
    wait $launcher
    status=$?
    until [ -z "$(ranks_of "$1")" ] || [ $waited -ge $(($2 * 10)) ]; do
        sleep 0.1
        waited=$((waited + 1))
    done
    [ -z "$(ranks_of "$1")" ] || fail "$3: ranks outlive the job: $(ranks_of "$1")"
    kill -9 $(ranks_of "$1") 2>/dev/null
}

# ranks_of RUN [RANK]: its processes.
ranks_of()
{
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/exe" 2>/dev/null)" = "$program" ] || continue
        tr '\0' '\n' <"$process/environ" >environment 2>/dev/null || continue
        grep -qx "EGG_TEST_RUN=$1" environment || continue
        [ -z "${2:-}" ] || grep -qx "\(OMPI_COMM_WORLD_RANK\|PMI_RANK\)=$2" environment || continue
        echo "${process#/proc/}"
    done
}

# Waits until RUN has come some epochs far.
wait_for()
{
    tries=0
    until [ "$(lines "$1")" -ge 8 ] 2>/dev/null || [ $tries -ge 600 ]; do
        tries=$((tries + 1))
        sleep 0.02
    done
}

# ---------------------------------------------------------------------------------------------------------------- runs

write_text 300 >text
pretrain="pretrain text --width 32 --layers 2 --population 192 --epochs 40 --valid-fraction 0.1 --validations 2
    --update-sharding rows --save-epochs 5 --check-epochs 20"
"$program" $pretrain --quiet --out alone || exit 1
expected=$(hash_of alone)
same() { [ -n "$expected" ] && [ "$(hash_of "$1")" = "$expected" ] || fail "$2: $(hash_of "$1") instead of $expected: $(cat err)"; }

launch whole $pretrain --out whole
finish whole 60 "three hosts"
same whole "three hosts"
[ "$(value ranks <whole/metrics.jsonl)" = 3 ] || fail "three hosts: $(value ranks <whole/metrics.jsonl) ranks"
# 'bytes_received' is of one epoch, of which all but the last rows came over the link of rank 0's host.
received=$(ip netns exec host1 cat /sys/class/net/eth0/statistics/rx_bytes)
told=$(($(value bytes_received <whole/metrics.jsonl) * 40))
[ "$received" -ge "$told" ] || fail "three hosts: $received bytes came over the link, $told were told"
echo "three hosts: rank 0 received $told bytes of the run, $received over its link"

launch killed $pretrain --out killed
wait_for killed
victim=$(ranks_of killed 1)
kill -9 $victim || fail "kill: no rank 1"
finish killed 60 "a killed rank"
[ $status -ne 0 ] || fail "a killed rank: status 0"
grep -qi 'rank [0-9]\|host2\|10\.77\.0\.2\|PID [0-9]* RUNNING AT' out err || fail "a killed rank: not named: $(cat out err)"
echo "a killed rank, with $(lines killed) epochs run: $(grep -hi 'rank [0-9]\|RUNNING AT' out err | head -n 1)"
launch killed pretrain --resume killed
finish killed 60 "a killed rank, resumed"
same killed "a killed rank, resumed"

launch cut $pretrain --out cut
wait_for cut
ip link set dev port3 down
finish cut 60 "a cut link"
[ $status -ne 0 ] || fail "a cut link: status 0"
grep -q '[a-z]' out err || fail "a cut link: no message"
echo "a cut link, with $(lines cut) epochs run: $(grep -hi 'lost\|communication\|host3' out err | head -n 1)"
ip link set dev port3 up
until ip netns exec host3 grep -qx up /sys/class/net/eth0/operstate; do sleep 0.05; done
for i in $hosts; do ip -n host$i neighbour flush all; done   # who was not to be found is asked for anew
for try in 1 2 3 4 5; do   # the switch, and what is left of the old daemons, may take a moment
    launch cut pretrain --resume cut
    finish cut 60 "a cut link, resumed"
    grep -q 'unable to reliably start' err || break
    sleep 1
done
same cut "a cut link, resumed"

[ $failures -eq 0 ] && echo "three hosts agree"
exit $((failures > 0))

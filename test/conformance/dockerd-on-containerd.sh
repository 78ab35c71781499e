# Debian's dockerd 20.10 on our containerd, driven by the docker CLI. Run by dockerd-on-containerd.test.ts in network and mount
# namespaces of its own:  sh dockerd-on-containerd.sh ROOT CORTEN
set -eu
root=$1
corten=$2
cd "$root"
ip link set lo up
containerd=
dockerd=
registry=
finish() {
  status=$?
  for pid in $dockerd $containerd $registry; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  [ $status = 0 ] || { tail -n 20 c.log; tail -n 20 d.log; }
  exit $status
}
trap finish EXIT
echo '{}' >daemon.json
d() { docker -H "unix://$root/d.sock" "$@"; }
start_containerd() {
  "$corten" containerd --root "$root/root" --state "$root/state" --address "$root/c.sock" >>c.log 2>&1 &
  containerd=$!
  i=0; while ! ctr -a c.sock version >/dev/null 2>&1 && [ $i -lt 1000 ]; do sleep 0.05; i=$((i + 1)); done
}
start_dockerd() {
  rm -f pid
  /usr/sbin/dockerd --config-file daemon.json --containerd "$root/c.sock" --data-root "$root/lib" --exec-root "$root/run" -p "$root/pid" \
    --live-restore -H "unix://$root/d.sock" >>d.log 2>&1 &
  dockerd=$!
  i=0; while ! d version >/dev/null 2>&1 && [ $i -lt 1000 ]; do sleep 0.05; i=$((i + 1)); done
}
same() { [ "$2" = "$3" ] || { echo "FAILED: $1: got '$2', want '$3'"; exit 1; }; echo "ok $1"; }
# soon WHAT WANTED COMMAND…: until the command says what is wanted.
soon() {
  what=$1 want=$2; shift 2
  i=0; while got=$("$@" 2>&1 || true); [ "$got" != "$want" ] && [ $i -lt 600 ]; do sleep 0.1; i=$((i + 1)); done
  same "$what" "$got" "$want"
}
state() { d inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$1"; }

start_containerd
start_dockerd
mkdir -p tree/bin
cp /bin/busybox tree/bin/busybox
for applet in sh echo sleep cat true stty; do ln tree/bin/busybox tree/bin/$applet; done
tar -C tree -c . | d import - box:1 >/dev/null
same "run" "$(d run --rm box:1 echo one)" one
same "status" "$(d run --rm --network none box:1 sh -c 'exit 5' || echo $?)" 5
same "stdin" "$(echo piped | d run --rm -i box:1 cat)" piped
same "memory limit" "$(d run --rm -m 64m box:1 cat /sys/fs/cgroup/memory/memory.limit_in_bytes)" 67108864
same "a program that is not there" "$(d run --rm box:1 /none 2>/dev/null || echo $?)" 127

# A registry on loopback: push, remove, pull.
cat >registry.yml <<YML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $root/registry}}
http: {addr: "127.0.0.1:5000"}
YML
docker-registry serve registry.yml >/dev/null 2>&1 &
registry=$!
d tag box:1 127.0.0.1:5000/box:1
soon "push" 0 sh -c "docker -H unix://$root/d.sock push -q 127.0.0.1:5000/box:1 >/dev/null; echo \$?"
d rmi 127.0.0.1:5000/box:1 >/dev/null
d pull -q 127.0.0.1:5000/box:1 >/dev/null
same "pull" "$(d run --rm 127.0.0.1:5000/box:1 echo pulled)" pulled

d run -d --name job box:1 sh -c 'echo logged; exec sleep 300' >/dev/null
same "exec" "$(d exec job echo inside)" inside
same "exec's status" "$(d exec job sh -c 'exit 3' || echo $?)" 3
same "exec's stdin" "$(echo typed | d exec -i job cat)" typed
same "exec with a terminal" "$(script -qec "docker -H unix://$root/d.sock exec -t job sh -c 'test -t 0 && echo tty'" /dev/null </dev/null | tr -d '\r' | grep -o tty)" tty
soon "logs" logged d logs job
same "top" "$(d top job -o pid,cmd | grep -c 'sleep 300')" 1
soon "stats" 1 d stats --no-stream --format '{{.PIDs}}' job
d update -m 80m --memory-swap 80m job >/dev/null
same "update" "$(d exec job cat /sys/fs/cgroup/memory/memory.limit_in_bytes)" 83886080
d pause job >/dev/null
same "paused" "$(state job)" "paused 0"
d unpause job >/dev/null
d stop -t 0 job >/dev/null
same "stopped" "$(state job)" "exited 137"
d start job >/dev/null
d restart -t 0 job >/dev/null
same "restarted" "$(d inspect -f '{{.State.Running}}' job)" true

d run -d --name echoes -i box:1 sh -c 'read word; echo "got $word"; exit 6' >/dev/null
same "attach" "$( (sleep 0.3; echo hello; sleep 0.7) | d attach echoes 2>&1 || true)" "got hello"
soon "attach's status" "exited 6" state echoes
d run -d --name again --restart on-failure:2 box:1 sh -c 'exit 9' >/dev/null
soon "restart policy" "exited 9 2" d inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.RestartCount}}' again
now=$(date +%s)
# The second that has begun is over before the answer.
same "events" "$(d events --since 1 --until $((now + 1)) --filter container=again --filter event=die --format '{{.Actor.Attributes.exitCode}}' | sort -u)" 9

mkdir -p context
echo copied >context/file
printf 'FROM box:1\nRUN echo made >/made\nCOPY file /file\nCMD ["cat", "/made", "/file"]\n' >context/Dockerfile
DOCKER_BUILDKIT=0 d build -q -t built context >/dev/null 2>&1
same "build" "$(d run --rm built | tr '\n' ' ')" "made copied "

# kill -9 of each side under containers that run, write and end meanwhile.
d run -d --name writes box:1 sh -c 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done' >/dev/null
d run -d --name ends box:1 sh -c 'sleep 1; exit 4' >/dev/null
kill -9 "$dockerd"; wait "$dockerd" 2>/dev/null || true
sleep 1.5
start_dockerd
soon "a status of the time without dockerd" "exited 4" state ends
same "what ran goes on" "$(d inspect -f '{{.State.Running}}' writes) $(d exec job echo still)" "true still"
d start ends >/dev/null
kill -9 "$containerd"; wait "$containerd" 2>/dev/null || true
sleep 1.5
start_containerd
soon "a status of the time without containerd" "exited 4" state ends
soon "exec after containerd's death" "back" d exec job echo back
first=$(d logs --tail 1 writes)
soon "output goes on" yes sh -c "[ \"\$(docker -H unix://$root/d.sock logs --tail 1 writes)\" -gt $first ] && echo yes"
d rm -f job writes ends again echoes >/dev/null
same "nothing is left" "$(d ps -aq)" ""
soon "containerd has nothing left" "" sh -c "ctr -a c.sock -n moby containers ls -q; ctr -a c.sock -n moby tasks ls -q"

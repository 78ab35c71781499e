# Run inside the VM by test/conformance/dockerd-cgroup2.test.ts: our dockerd, with our runtime and with crun, on a
# pure cgroup v2. Nothing is decided by time: the loops that wait have no other end than what they wait for, or the VM's.
set -u
export DOCKER_HOST=unix:///run/test/docker.sock
image=127.0.0.1:5000/busybox:1
fail() { echo "FAILED: $1"; tail -n 20 /tmp/dockerd.log; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; echo "ok $1"; }
until_true() { until eval "$1" >/dev/null 2>&1; do sleep 0.1; done; }
daemon() {
  corten dockerd --data-root /var/lib/test --exec-root /run/test -H $DOCKER_HOST --add-runtime crun=/usr/bin/crun \
    </dev/null >>/tmp/dockerd.log 2>&1 &
  dockerd=$!
  until_true 'corten version'
}

mkdir -p /registry /run/test
tar -C /registry -xf /registry.tar
cat >/registry.yml <<'YAML'
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /registry}}
http: {addr: "127.0.0.1:5000"}
YAML
docker-registry serve /registry.yml </dev/null >/tmp/registry.log 2>&1 &
daemon
until_true 'wget -qO- http://127.0.0.1:5000/v2/'
corten pull -q $image || fail pull
same "info: cgroup version" "$(corten info --format '{{.CgroupVersion}}')" 2

group_of() { echo "/sys/fs/cgroup$(sed -n 's/^0:://p' "/proc/$(corten inspect -f '{{.State.Pid}}' "$1")/cgroup")"; }

# A container that does what is asked of all of them: runtime and the daemon's port differ.
suite() {
  runtime=$1 port=$2
  output=$(corten run --rm --runtime "$runtime" --network none $image sh -c 'echo hello; exit 7')
  same "$runtime: run's exit status and output" "$? $output" "7 hello"

  corten run -d --name main --runtime "$runtime" -p "$port:80" -m 64m --cpus 0.5 --cpu-shares 512 --pids-limit 50 \
    --cpuset-cpus 0 $image sh -c 'trap "echo ended; exit 3" TERM; mkdir /www; echo page of $0 >/www/index.html
      httpd -p 80 -h /www; echo ready; sleep 100000 & wait' "$runtime" >/tmp/id || fail "$runtime: run -d"
  until_true 'corten logs main | grep -x ready'
  same "$runtime: logs" "$(corten logs main)" ready
  group=$(group_of main)
  same "$runtime: memory.max" "$(cat "$group/memory.max")" 67108864
  same "$runtime: memory.swap.max" "$(cat "$group/memory.swap.max")" 67108864
  same "$runtime: cpu.max" "$(cat "$group/cpu.max")" "50000 100000"
  same "$runtime: cpu.weight" "$(cat "$group/cpu.weight")" 20
  same "$runtime: cpuset.cpus" "$(cat "$group/cpuset.cpus")" 0
  same "$runtime: pids.max" "$(cat "$group/pids.max")" 50

  output=$(corten exec main sh -c 'echo inside; cat /proc/self/cgroup; exit 5')
  same "$runtime: exec's exit status, output and cgroup" "$? $(echo $output)" "5 inside 0::/"
  same "$runtime: a block device may not be opened" \
    "$(corten exec main sh -c 'mknod /disk b 1 0 && { dd if=/disk count=1 2>&1 | grep -o "not permitted"; }')" "not permitted"
  same "$runtime: the published port" "$(wget -qO- "http://127.0.0.1:$port/")" "page of $runtime"
  same "$runtime: the container's address" \
    "$(wget -qO- "http://$(corten inspect -f '{{.NetworkSettings.IPAddress}}' main)/")" "page of $runtime"

  corten pause main >/dev/null || fail "$runtime: pause"
  same "$runtime: paused" "$(grep frozen "$group/cgroup.events") $(corten inspect -f '{{.State.Status}}' main)" "frozen 1 paused"
  corten unpause main >/dev/null || fail "$runtime: unpause"
  same "$runtime: unpaused" "$(grep frozen "$group/cgroup.events") $(corten inspect -f '{{.State.Status}}' main)" "frozen 0 running"
  corten update -m 48m --memory-swap 48m --cpus 0.25 main >/dev/null || fail "$runtime: update"
  same "$runtime: update" "$(cat "$group/memory.max" "$group/memory.swap.max" "$group/cpu.max" | tr '\n' ' ')" "50331648 0 25000 100000 "
  same "$runtime: stats" "$(corten stats --no-stream --format '{{.MemUsage}}' main | sed 's/.* //')" 48MiB

  # The container does not depend on the daemon.
  kill -9 $dockerd
  wait $dockerd 2>/dev/null
  daemon
  same "$runtime: found again by the next daemon" "$(corten ps --format '{{.Names}} {{.State}}')" "main running"
  corten stop -t 100000 main >/dev/null || fail "$runtime: stop"
  same "$runtime: stopped" "$(corten inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' main)" "exited 3 false"
  same "$runtime: logs after the stop" "$(echo $(corten logs main))" "ready ended"
  [ ! -e "$group" ] || fail "$runtime: the group of a stopped container is still there"
  echo "ok $runtime: the group is gone"

  corten run --name greedy --runtime "$runtime" --network none -m 16m $image tail /dev/zero
  same "$runtime: exit status of an OOM kill" $? 137
  same "$runtime: OOMKilled" "$(corten inspect -f '{{.State.OOMKilled}} {{.State.ExitCode}}' greedy)" "true 137"
  corten rm main greedy >/dev/null || fail "$runtime: rm"
}

suite corten 8080
suite crun 8081
parent=$(dirname "$group")
same "nothing is left" "$(find "$parent" -mindepth 1 -type d | wc -l) $(grep -c -E ' (/run|/var/lib)/test/' /proc/mounts)" "0 0"

# Debian's dockerd 20.10 on our containerd, driven by the docker CLI. Run by dockerd-on-containerd.test.ts in network and mount
# namespaces of its own:  sh dockerd-on-containerd.sh ROOT CORTEN
set -eu
root=$1
corten=$2
cd "$root"
ip link set lo up
"$corten" containerd --root "$root/root" --state "$root/state" --address "$root/c.sock" >c.log 2>&1 &
containerd=$!
dockerd=
finish() {
  status=$?
  for pid in $dockerd $containerd; do kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; done
  [ $status = 0 ] || { tail -20 c.log d.log; }
  exit $status
}
trap finish EXIT
echo '{}' >daemon.json
i=0; while [ ! -S c.sock ] && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
/usr/sbin/dockerd --config-file daemon.json --containerd "$root/c.sock" --data-root "$root/lib" --exec-root "$root/run" -p "$root/pid" \
  -H "unix://$root/d.sock" >d.log 2>&1 &
dockerd=$!
d() { docker -H "unix://$root/d.sock" "$@"; }
i=0; while ! d version >/dev/null 2>&1 && [ $i -lt 200 ]; do sleep 0.05; i=$((i + 1)); done
same() { [ "$2" = "$3" ] || { echo "FAILED: $1: got '$2', want '$3'"; exit 1; }; echo "ok $1"; }

mkdir -p tree/bin
cp /bin/busybox tree/bin/busybox
for applet in sh echo sleep cat true; do ln tree/bin/busybox tree/bin/$applet; done
tar -C tree -c . | d import - box:1 >/dev/null
same "run" "$(d run --rm box:1 echo one)" one
same "status" "$(d run --rm --network none box:1 sh -c 'exit 5' || echo $?)" 5
same "stdin" "$(echo piped | d run --rm -i box:1 cat)" piped
same "memory limit" "$(d run --rm -m 64m box:1 cat /sys/fs/cgroup/memory/memory.limit_in_bytes)" 67108864
d run -d --name job box:1 sh -c 'echo logged; exec sleep 300' >/dev/null
same "exec" "$(d exec job echo inside)" inside
same "exec's status" "$(d exec job sh -c 'exit 3' || echo $?)" 3
same "logs" "$(d logs job)" logged
d pause job >/dev/null
same "paused" "$(d inspect -f '{{.State.Status}}' job)" paused
d unpause job >/dev/null
d stop -t 0 job >/dev/null
same "stopped" "$(d inspect -f '{{.State.Status}} {{.State.ExitCode}}' job)" "exited 137"
d start job >/dev/null
d restart -t 0 job >/dev/null
same "restarted" "$(d inspect -f '{{.State.Running}}' job)" true
d rm -f job >/dev/null
same "nothing is left" "$(d ps -aq)" ""

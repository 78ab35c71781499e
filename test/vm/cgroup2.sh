# Run inside the VM by test/conformance/cgroup2.test.ts: our runc (or the one named by $RUNC) on a pure cgroup v2.
set -u
RUNC="${RUNC:-corten runc}"
fail() { echo "FAILED: $1"; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; echo "ok $1"; }

mkdir -p /b/rootfs/bin /b/rootfs/proc /b/rootfs/dev /b/rootfs/sys
cp /bin/busybox /b/rootfs/bin/sh
for applet in sleep cat mknod echo ls id; do ln /b/rootfs/bin/sh /b/rootfs/bin/$applet; done
cd /b
$RUNC spec
# One sed each: the limits a docker run -m 64m --pids-limit 50 --cpus 0.5 would ask for.
sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"sleep","300"/' config.json
sed -i 's/"readonly": true/"readonly": false/' config.json
sed -i 's#"resources": {#"cgroupsPath": "/test/c1", "resources": {"memory": {"limit": 67108864, "swap": 67108864}, "pids": {"limit": 50}, "cpu": {"shares": 512, "quota": 50000, "period": 100000},#' config.json
# Real runc's default asks for fewer capabilities than mknod needs.
sed -i 's/"CAP_KILL"/"CAP_KILL","CAP_MKNOD"/' config.json
$RUNC run -d c1 </dev/null >/tmp/out 2>&1 || { cat /tmp/out; fail "run -d"; }
group=/sys/fs/cgroup/test/c1
same "memory.max" "$(cat $group/memory.max)" 67108864
same "memory.swap.max" "$(cat $group/memory.swap.max 2>/dev/null || echo 0)" 0
same "pids.max" "$(cat $group/pids.max)" 50
same "cpu.max" "$(cat $group/cpu.max)" "50000 100000"
same "cpu.weight from shares" "$(cat $group/cpu.weight)" 20
same "one process in the group" "$(wc -l < $group/cgroup.procs)" 1
same "cgroup namespace" "$($RUNC exec c1 cat /proc/self/cgroup)" "0::/"
same "exec joins the group" "$($RUNC exec c1 sh -c 'cat /proc/1/cgroup')" "0::/"
$RUNC pause c1 || fail pause
same "paused" "$(cat $group/cgroup.freeze)" 1
$RUNC resume c1 || fail resume
same "resumed" "$(cat $group/cgroup.freeze)" 0
same "allowed device" "$($RUNC exec c1 sh -c 'echo x > /dev/null && echo fine')" fine
$RUNC exec c1 mknod /disk b 1 0 >/dev/null 2>&1
same "a block device may not be opened" "$($RUNC exec c1 sh -c 'cat /disk >/dev/null 2>&1 || echo refused')" refused
$RUNC update --memory 33554432 c1 || fail update
same "update memory" "$(cat $group/memory.max)" 33554432
$RUNC kill c1 KILL || fail kill
i=0
while [ "$($RUNC state c1 | grep -c stopped)" = 0 ] && [ $i -lt 50 ]; do sleep 0.2; i=$((i + 1)); done
$RUNC delete c1 || fail delete
[ ! -e $group ] || fail "the group is still there"
echo "ok the group is gone"

# Run inside the VM by test/conformance/checkpoint.test.ts, where Debian's CRIU and kernel fit each other: our runc on a pure
# cgroup v2. Nothing is decided by time: the loops that wait have no other end than what they wait for, or the VM's.
set -u
fail() { echo "FAILED: $1"; tail -n 30 /tmp/*.log /tmp/work/*.log 2>/dev/null; exit 1; }
same() { [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"; echo "ok $1"; }
until_true() { until eval "$1" >/dev/null 2>&1; do sleep 0.1; done; }

mkdir -p /b/rootfs/bin /b/rootfs/proc /b/rootfs/dev /b/rootfs/sys /b/rootfs/tmp
cp /bin/busybox /b/rootfs/bin/sh
for applet in sleep cat echo ls; do ln /b/rootfs/bin/sh /b/rootfs/bin/$applet; done
cd /b
corten runc spec
# One that goes on counting, and ends with a status of its own when it is told to.
sed -i 's/"terminal": true/"terminal": false/; s/"readonly": true/"readonly": false/' config.json
sed -i 's#"sh"#"sh", "-c", "n=0; while [ ! -e /tmp/end ]; do n=$((n+1)); echo $n >/tmp/count; sleep 0.1; done; exit 7"#' config.json
count() { cat /b/rootfs/tmp/count; }
beyond() { until_true "[ \"\$(count)\" -gt $1 ]"; }

RUNC=${RUNC:-corten runc}
$RUNC run -d c1 </dev/null >/dev/null 2>&1 || fail "run -d"
beyond 3
$RUNC checkpoint --leave-running --image-path /tmp/first --work-path /tmp/work c1 >/tmp/checkpoint.log 2>&1 || fail "checkpoint --leave-running"
same "a checkpoint that leaves it running" "$($RUNC list -q)" c1
beyond "$(count)"
echo "ok it counts on"
$RUNC checkpoint --image-path /tmp/images --work-path /tmp/work c1 >/tmp/checkpoint.log 2>&1 || fail checkpoint
same "a checkpointed container is gone" "$($RUNC list -q)$(ls -d /sys/fs/cgroup/c1 2>/dev/null)" ""
before=$(count)
echo 0 >/b/rootfs/tmp/count
$RUNC restore -d --pid-file /tmp/pid --image-path /tmp/images --work-path /tmp/work c1 </dev/null >/dev/null 2>&1 || fail restore
beyond "$before"
echo "ok the restored container counts on from where it was"
same "exec in a restored container" "$($RUNC exec c1 cat /proc/1/cgroup)" "0::/"
same "its pid" "$(cat /tmp/pid)" "$($RUNC state c1 | sed -n 's/.*"pid": \([0-9]*\).*/\1/p')"
touch /b/rootfs/tmp/end
until_true "$RUNC state c1 | grep stopped"
$RUNC delete c1 || fail delete
rm /b/rootfs/tmp/end

(while ! $RUNC state c2 >/dev/null 2>&1; do sleep 0.1; done; touch /b/rootfs/tmp/end) &
$RUNC restore --image-path /tmp/first --work-path /tmp/work c2 </dev/null >/dev/null 2>&1
same "restore in the foreground gives the status" $? 7
rm /b/rootfs/tmp/end
same "nothing is left" "$($RUNC list -q)$(ls -d /sys/fs/cgroup/c[12] 2>/dev/null)$(grep criu-root /proc/mounts)" ""

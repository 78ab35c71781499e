/**
 * Every verb and subverb of `ctr --help` (1.6) as shell lines, for a comparison of two containerds. `$C` is ctr with its
 * address and namespace, `$W` a directory of the side's own, `$B` the busybox image, `$M` an image for two platforms,
 * `$R` the registry. `till 'command'` waits until the command succeeds (ctr-world.ts).
 */
export interface CtrLine {
  /** The verb it counts for. */
  verb: string;
  line: string;
  /** What is compared: all that is said, standard output alone, only the exit code, or nothing. */
  compare?: "all" | "stdout" | "code" | "no";
  /** Lines come in any order. */
  sorted?: boolean;
  /** Takes long: by hand only (CORTEN_CTR_ALL=1). */
  hand?: true;
  /** Why ours differs on purpose, or does not offer it. */
  differs?: string;
}

const line = (verb: string, text: string, more: Partial<CtrLine> = {}): CtrLine => ({
  verb,
  line: text,
  ...more,
});
const code = { compare: "code" } as const;
const stdout = { compare: "stdout" } as const;
const sorted = { sorted: true } as const;
const loop = `sh -c 'trap "exit 7" TERM; while :; do sleep 0.05; done'`;

export const ctrLines: CtrLine[] = [
  line("version", "$C version 2>/dev/null | grep -c -e Server -e UUID"),
  line("plugins list", "$C plugins ls -q >/dev/null", code),
  line(
    "plugins list",
    `$C plugins ls | grep -E '^io.containerd.(snapshotter|content|differ|gc|runtime)' | awk '{print $1, $2}' | grep -E 'overlayfs|native|content|walking|scheduler|task'`,
    sorted,
  ),
  line(
    "plugins list",
    "$C plugins ls -d | grep -c -E 'Type: +io.containerd.snapshotter.v1' | xargs test 1 -lt",
    code,
  ),
  line("plugins list", "$C plugins ls -d 'id==overlayfs' | grep -E '^(Type|ID|Platforms)'"),
  line("oci spec", "$C oci spec"),
  line("namespaces create", "$C ns c $N-x team=blue"),
  line("namespaces create", "$C ns c $N-x"),
  line("namespaces create", "$C ns c 'bad name'"),
  line("namespaces label", "$C ns label $N-x team=red size=2"),
  line("namespaces list", "$C ns ls | grep $N-x"),
  line("namespaces list", "$C ns ls -q | grep $N-x"),
  line("namespaces remove", "$C ns rm $N-x"),
  line("namespaces remove", "$C ns rm $N-none"),
  // images
  line("images pull", "$C i pull --plain-http --label a=b $B", code),
  line("images pull", "$C i pull --plain-http --print-chainid $B | tail -2 | grep 'image chain ID'"),
  line("images pull", "$C i pull --plain-http --all-platforms $M", code),
  line("images pull", "$C i pull --plain-http --platform linux/arm64 --snapshotter native $M", code),
  line("images pull", "$C i pull --plain-http --http-dump --max-concurrent-downloads 1 $M", code),
  line("images pull", "$C i pull --plain-http $R/none:1 2>&1 | tail -1 | grep -o 'not found'"),
  line(
    "images pull",
    "mkdir -p $W/hosts/$R $W/opt && printf '[host.\"http://%s\"]\\n' $R >$W/hosts/$R/hosts.toml && $C i pull --hosts-dir $W/hosts $B",
    code,
  ),
  line("images list", "$C i ls"),
  line("images list", "$C i ls -q"),
  line("images list", "$C i ls 'name~=multi'"),
  line("images check", "$C i check"),
  line("images check", "$C i check -q"),
  line("images label", "$C i label $B x=y z=1 | tr , '\\n' | sort"),
  line("images label", "$C i label --replace-all $B q=1"),
  line("images label", "$C i label $R/none:1 q=1"),
  line("images tag", "$C i tag $B other:1"),
  line("images tag", "$C i tag $B other:1"),
  line("images tag", "$C i tag --force $B other:1 other:2"),
  line("images push", "$C i push --plain-http $R/$N/copy:1 other:1", code),
  line("images push", "$C i push --plain-http $R/$N/multi:1 $M", code),
  line(
    "images push",
    "$C i push --plain-http --manifest-type application/vnd.oci.image.manifest.v1+json --manifest $(cat $W/none 2>/dev/null) $R/$N/x:1",
    code,
  ),
  line("images export", "$C i export $W/one.tar $B && tar tf $W/one.tar | sort"),
  line(
    "images export",
    "$C i export --all-platforms --skip-manifest-json $W/multi.tar $M && tar tf $W/multi.tar | sort",
  ),
  line("images export", "$C i export --platform linux/arm64 $W/arm.tar $M && tar tf $W/arm.tar | sort"),
  line("images export", "$C i export $W/no.tar none:1"),
  line("images delete", "$C i rm --sync other:1 other:2"),
  line("images delete", "$C i rm other:1"),
  line("images import", "$C i import --base-name again --digests $W/one.tar"),
  line("images import", "$C i import --index-name idx:1 --all-platforms --no-unpack $W/multi.tar"),
  line("images import", "$C i import --platform linux/arm64 --snapshotter native $W/arm.tar"),
  line("images import", "echo nothing >$W/bad.tar; $C i import $W/bad.tar"),
  line("images list", "$C i ls -q"),
  line("images convert", "$C i convert --uncompress --oci $B plain:1", sorted),
  line("images convert", "$C i convert --oci --all-platforms $M conv:1"),
  line("images convert", "$C i convert --oci --platform linux/arm64 $M conv:2"),
  line("images list", "$C i ls plain:1 conv:1 conv:2 | awk '{print $1,$2,$3,$4,$5,$6}'"),
  line("images mount", "mkdir -p $W/mnt && $C i mount $B $W/mnt && ls $W/mnt && touch $W/mnt/x"),
  line("images unmount", "$C i unmount $W/mnt && ls $W/mnt"),
  line("images mount", "$C i mount --rw --platform linux/amd64 $M $W/mnt && touch $W/mnt/x && ls $W/mnt"),
  line("images unmount", "$C i unmount --rm $W/mnt && ls $W/mnt"),
  line("images unmount", "$C snapshots ls | awk '{print $1}' | grep -c $W"),
  // content
  line("content list", "$C content ls -q | wc -l", { compare: "no" }),
  line("content list", "$C content ls | grep -c containerd.io", { compare: "no" }),
  line(
    "content list",
    `D=$($C i ls name==$B | awk 'NR==2{print $3}'); echo $D >$W/d; $C content ls -q digest==$D`,
  ),
  line("content get", "$C content get $(cat $W/d)"),
  line(
    "content get",
    "$C content get sha256:0000000000000000000000000000000000000000000000000000000000000000",
  ),
  line(
    "content ingest",
    "sleep 0.4; printf hello | $C content ingest --expected-size 5 --expected-digest sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 hello-ref",
  ),
  line(
    "content ingest",
    "printf hullo | $C content ingest --expected-digest sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9825 ref2 2>&1 | grep -c 'unexpected'",
  ),
  line("content active", "$C content active", stdout),
  line(
    "content active",
    "(printf half; till '[ -e $W/seen ]') | $C content ingest half-ref >/dev/null 2>&1 & till '$C content active | grep half-ref'; $C content active | awk '{print $1,$2}' | sort; touch $W/seen; wait",
  ),
  line(
    "content get",
    "$C content get sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  ),
  line(
    "content label",
    "$C content label sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a=b containerd.io/gc.root=now | tr , '\\n' | sort",
  ),
  line(
    "content label",
    "$C content label sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 a=",
  ),
  line("content list", "$C content ls labels.\"containerd.io/gc.root\"==now | awk '{print $1,$2}'"),
  line(
    "content edit",
    "printf '#!/bin/sh\\nprintf changed >$1\\n' >$W/ed; chmod +x $W/ed; $C content edit --editor $W/ed sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  ),
  line("content fetch", "$C content fetch --plain-http $B", code),
  line("content fetch-object", "$C content fetch-object --plain-http $B $(cat $W/d)"),
  line("content fetch-object", "$C content fetch-object --plain-http $B", code),
  line(
    "content push-object",
    "$C content push-object --plain-http $R/$N/pushed:1 sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 application/octet-stream",
    code,
  ),
  line(
    "content delete",
    "$C content rm sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  ),
  line(
    "content delete",
    "$C content rm sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
  ),
  line(
    "content prune references",
    "$C content prune references --dry 2>&1 | grep -c -i -E 'remov|would|label' >/dev/null",
    { compare: "no" },
  ),
  line(
    "content prune references",
    "$C -n $N-p i pull --plain-http $B >/dev/null && $C -n $N-p content prune references && $C -n $N-p content ls -q | wc -l",
  ),
  line("run", "$C -n $N-p run --rm $B pruned echo runs"),
  line("images check", "$C -n $N-p i check | sed 's, (.*,,'"),
  // leases
  line("leases create", "$C leases create --id keep --expires 1h a=b"),
  line("leases create", "$C leases create --id keep"),
  line("leases create", "$C leases create | wc -l"),
  line("leases list", "$C leases ls id==keep | awk '{print $1,$3}'"),
  line("leases list", "$C leases ls -q | wc -l"),
  line("leases delete", "$C leases rm --sync keep"),
  line("leases delete", "$C leases rm keep"),
  // snapshots
  line(
    "snapshots info",
    "CH=$($C i pull --plain-http --print-chainid $B | sed -n 's/.*chain ID: //p'); echo $CH >$W/ch; $C snapshots info $CH | grep -v -e Created -e Updated",
  ),
  line("snapshots list", "$C snapshots ls | grep $(cat $W/ch)"),
  line("snapshots prepare", "$C snapshots prepare act $(cat $W/ch)"),
  line("snapshots prepare", "$C snapshots prepare act $(cat $W/ch)"),
  line("snapshots prepare", "$C snapshots prepare act2 none"),
  line("snapshots prepare", "$C snapshots prepare --mounts act3 $(cat $W/ch) | grep -c overlay"),
  line(
    "snapshots prepare",
    "mkdir -p $W/t; $C snapshots prepare --target $W/t act4 $(cat $W/ch) | sh -e; touch $W/t/new; rm $W/t/etc/group; ls $W/t; umount $W/t",
  ),
  line("snapshots mounts", "$C snapshots mounts $W/t act4 | sed 's/-o .*//'"),
  line("snapshots mounts", "$C snapshots mounts $W/t none"),
  line("snapshots usage", "$C snapshots usage -b act4 | wc -l"),
  line("snapshots usage", "$C snapshots usage | head -1"),
  line("snapshots diff", "$C snapshots diff act4 | tar tzf - | sort"),
  line(
    "snapshots diff",
    "$C snapshots diff --media-type application/vnd.oci.image.layer.v1.tar act4 | tar tf - | sort",
  ),
  line(
    "snapshots diff",
    "sleep 0.4; $C snapshots diff --keep --label k=v --ref dref act4 | wc -c | xargs test 0 -lt && $C content ls labels.k==v | wc -l",
  ),
  line("snapshots commit", "$C snapshots commit com act4"),
  line("snapshots commit", "$C snapshots commit com act3"),
  line("snapshots info", "$C snapshots info com | grep -E 'Kind|Name|Parent'"),
  line("snapshots view", "sleep 0.4; $C snapshots view vw com"),
  line("snapshots view", "$C snapshots view --mounts vw2 com | grep -c ro"),
  line("snapshots view", "$C snapshots view --target $W/t vw3 com | sh -e; ls $W/t; umount $W/t"),
  line("snapshots tree", "$C snapshots tree", sorted),
  line("snapshots label", "$C snapshots label com a=b c=d | tr , '\\n' | sort"),
  line("snapshots label", "$C snapshots label com a= | tr , '\\n' | sort"),
  line("snapshots info", "$C snapshots info com | grep -A3 Labels"),
  line("snapshots delete", "$C snapshots rm com"),
  line("snapshots delete", "$C snapshots rm act act3 vw vw2 vw3"),
  line("snapshots delete", "$C snapshots rm com && $C snapshots rm com"),
  line("snapshots unpack", "$C snapshots unpack --snapshotter native $(cat $W/d)"),
  line("snapshots list", "$C snapshots --snapshotter native ls | grep -c Committed"),
  line("snapshots list", "$C snapshots --snapshotter nothing ls"),
  // containers
  line(
    "containers create",
    "$C c create --label a=b --env E=1 --cwd /tmp --annotation x=y --read-only $B made echo hi",
  ),
  line("containers create", "$C c create $B made"),
  line("containers create", "$C c create $B 'bad name'"),
  line("containers info", "$C c info made | jq 'del(.CreatedAt,.UpdatedAt,.Spec)'"),
  line("containers info", "$C c info --spec made"),
  line("containers info", "$C c info none"),
  line("containers list", "$C c ls"),
  line("containers list", "$C c ls -q id==made"),
  line("containers label", "$C c label made a=c n=1 | tr , '\\n' | sort"),
  line("containers label", "$C c label made a= | tr , '\\n' | sort"),
  line("containers delete", "$C c rm --keep-snapshot made; $C c ls -q id==made"),
  line("containers delete", "$C c rm made"),
  line(
    "containers checkpoint",
    "$C c create $B cp sh -c 'cat /root/mark' && $C c checkpoint --image --rw cp cp-image:1",
  ),
  line("containers checkpoint", "$C i ls cp-image:1 | awk '{print $1,$2}'"),
  line("containers restore", "$C c restore --rw restored cp-image:1 && $C c ls -q id==restored", code),
  line("containers delete", "$C c rm cp restored; $C i rm cp-image:1", code),
  // tasks
  line("run", `$C run -d --pid-file $W/pid $B web ${loop} && test -s $W/pid`),
  line("tasks list", "$C t ls | awk '{print $1,$3}' | sort"),
  line("tasks list", "$C t ls -q"),
  line("tasks start", "$C t start web"),
  line("tasks exec", "$C t exec --exec-id one --cwd /tmp --user nobody web sh -c 'pwd; id -u; exit 4'"),
  line("tasks exec", "$C t exec --exec-id two --user 33:50 web id"),
  line("tasks exec", "$C t exec --exec-id bad --user nosuch web id 2>&1 | sed 's/mount[0-9][0-9]*/mountN/'"),
  line(
    "tasks exec",
    "$C t exec --exec-id three web /no/such 2>&1 | grep -o 'OCI runtime exec failed: exec failed'",
  ),
  line(
    "tasks exec",
    "$C t exec --exec-id four -d --log-uri file://$W/exec.log web sh -c 'echo logged' && till '[ -s $W/exec.log ]' && cat $W/exec.log",
  ),
  // ctr forgets an end of its input that comes before it has the process.
  line(
    "tasks exec",
    "(echo through; till '$C t ps web | grep five') | $C t exec --exec-id five --fifo-dir $W/fifos web cat",
  ),
  line("tasks exec", "$C t exec --exec-id six -d web sleep 100"),
  line("tasks exec", "$C t exec --exec-id six web true"),
  line("tasks kill", "$C t kill --exec-id six -s 9 web"),
  line(
    "tasks delete",
    "till '$C t rm --exec-id six web 2>$W/six; echo $? >$W/code; ! grep \"must be stopped\" $W/six'; cat $W/six $W/code",
  ),
  line(
    "tasks exec",
    "script -qec \"$C t exec -t --exec-id seven web sh -c 'tty; stty size'\" /dev/null </dev/null | grep -o pts/",
  ),
  line("tasks attach", `$C run -d --log-uri file://$W/a.log $B att ${loop}; $C t attach att`, code),
  line("tasks attach", "$C t attach none"),
  line("tasks ps", "$C t ps web | awk '{print NF, $2}'"),
  line("tasks ps", "$C t ps none"),
  line("tasks metrics", "$C t metrics web | awk '{print $1}'"),
  line(
    "tasks metrics",
    "$C t metrics --format json web | jq -S 'paths|map(tostring)|join(\".\")' | grep -v -E 'cpu.usage|per_cpu|blkio|hugetlb|rdma|network|cgroup_stats'",
  ),
  line("tasks metrics", "$C t metrics none"),
  line("tasks pause", "$C t pause web && $C t ls | awk '{print $1,$3}' | sort"),
  line("tasks pause", "$C t pause none"),
  line("tasks resume", "$C t resume web && $C t ls | awk '{print $1,$3}' | sort"),
  line("tasks delete", "$C t rm web"),
  line("containers delete", "$C c rm web"),
  line("tasks checkpoint", "$C t checkpoint web", code),
  line("tasks kill", "$C t kill -s NOSUCH web"),
  line(
    "tasks kill",
    "$C t kill web; till '$C t ls | grep \"web.*STOPPED\"'; $C t ls | awk '{print $1,$3}' | sort",
  ),
  line("tasks kill", "$C t kill web"),
  line("tasks delete", "$C t rm web"),
  line("tasks delete", "$C t rm --force att && $C t ls -q"),
  line("tasks delete", "$C t rm none"),
  line("containers delete", "$C c rm web att"),
  line("tasks start", "$C c create $B st echo started && $C t start st"),
  line("tasks start", "$C t rm st; $C t start --null-io -d --pid-file $W/p2 st && test -s $W/p2"),
  line(
    "tasks start",
    "till '$C t ls | grep \"st.*STOPPED\"'; $C t rm st; $C t start --log-uri file://$W/st.log -d st && till '[ -s $W/st.log ]' && cat $W/st.log",
  ),
  line("tasks start", "till '$C t ls | grep \"st.*STOPPED\"'; $C t rm st; $C c rm st; $C t start st"),
  // run
  line("run", "$C run --rm $B r1 sh -c 'echo out; echo err >&2; exit 3'"),
  line("run", "(echo in; till '$C t ls | grep \"r2.*RUNNING\"') | $C run --rm $B r2 cat"),
  line("run --null-io", "$C run --rm --null-io $B r3 echo nothing"),
  line("run --log-uri", "$C run --rm --log-uri file://$W/run.log $B r4 echo logged; cat $W/run.log"),
  line(
    "run --log-uri",
    "printf '#!/bin/sh\\nexec 5>&-\\nexec cat <&3 >%s/bin.log\\n' $W >$W/logger; chmod +x $W/logger; $C run --rm --log-uri binary://$W/logger?id=1 $B r4b sh -c 'echo binary; sleep 0.2'; till '[ -s $W/bin.log ]'; cat $W/bin.log; $C c rm r4b 2>/dev/null",
  ),
  line("run --detach", "$C run -d $B r5 sleep 100 && $C t rm -f r5 && $C c rm r5"),
  line("run --fifo-dir", "$C run --rm --fifo-dir $W/ff $B r6 echo fifos; ls $W/ff"),
  line("run --cgroup", "$C run --rm --cgroup /$N-cg/x $B r7 grep -E 'memory|pids' /proc/self/cgroup"),
  line("run --cgroup", '$C run --rm --cgroup "" $B r7b grep memory /proc/self/cgroup'),
  line("run --platform", "$C run --rm --platform linux/amd64 $M r8 echo amd"),
  line("run --platform", "$C run --rm --platform linux/s390x $M r8b echo amd"),
  // What its plugins make outside of the container, and leave, goes with the network namespace that ctr has here.
  line("run --cni", "unshare -n $C run --rm --cni $B r9 true", code),
  line("run --runc-binary", "$C run --rm --runc-binary /usr/sbin/runc $B r10 echo real"),
  line("run --runc-binary", "$C run --rm --runc-binary no-such-runc $B r10b true", stdout),
  line(
    "run --runc-root",
    "$C run -d --runc-root $W/runc $B r11 sleep 100; ls $W/runc/*; $C t rm -f r11 2>/dev/null; $C c rm r11",
  ),
  line("run --runc-systemd-cgroup", "$C run --rm --runc-systemd-cgroup --cgroup $N.slice:b:c $B r12 true", {
    compare: "no",
  }),
  line(
    "run --uidmap",
    "$C run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 $B r13 sh -c 'cat /proc/self/uid_map; ls -ld /bin | cut -c1-30; touch /x && ls -l /x | cut -c1-40'",
    { compare: "code", hand: true },
  ),
  line(
    "run --remap-labels",
    "$C run --rm --remap-labels --uidmap 0:100000:65536 --gidmap 0:100000:65536 $B r13b cat /proc/self/uid_map",
    { compare: "no" },
  ),
  line(
    "run --cpus",
    "$C run --rm --cpus 0.5 $B r14 sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us'",
  ),
  line("run --cpu-shares", "$C run --rm --cpu-shares 512 $B r15 cat /sys/fs/cgroup/cpu/cpu.shares"),
  line(
    "run --cpu-quota",
    "$C run --rm --cpu-quota 20000 --cpu-period 50000 $B r16 sh -c 'cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu/cpu.cfs_period_us'",
  ),
  line(
    "run --snapshotter",
    '$C run --rm --snapshotter native $B r17 sh -c \'grep " / " /proc/mounts | cut -d" " -f2-3\'',
  ),
  line(
    "run --snapshotter-label",
    '$C run -d --snapshotter-label s=t $B r18 sleep 100; $C snapshots info r18 | grep -c \'"s": "t"\'; $C t rm -f r18; $C c rm r18',
  ),
  line(
    "run --config",
    'mkdir -p $W/rootfs/bin && cp /bin/busybox $W/rootfs/bin/busybox && ln -f $W/rootfs/bin/busybox $W/rootfs/bin/echo && $C oci spec | jq --arg r $W/rootfs \'.process.args=["echo","config"]|.root.path=$r|.process.terminal=false|.linux.cgroupsPath="/x"\' >$W/config.json && $C run --rm --config $W/config.json r19',
  ),
  line("run --cwd", "$C run --rm --cwd /tmp $B r20 pwd"),
  line("run --env", "$C run --rm --env A=1 --env B=2 $B r21 sh -c 'echo $A$B'"),
  line(
    "run --env-file",
    "printf 'X=9\\n#c\\nY=8\\n' >$W/env; $C run --rm --env-file $W/env $B r22 sh -c 'echo $X$Y'",
  ),
  line(
    "run --label",
    "$C run -d --label l=1 $B r23 sleep 100; $C c ls -q labels.l==1; $C t rm -f r23; $C c rm r23",
  ),
  line(
    "run --annotation",
    "$C run -d --annotation an=1 $B r24 sleep 100; $C c info --spec r24 | jq .annotations; $C t rm -f r24; $C c rm r24",
  ),
  line(
    "run --mount",
    "mkdir -p $W/src; echo m >$W/src/f; $C run --rm --mount type=bind,src=$W/src,dst=/m,options=rbind:ro $B r25 sh -c 'cat /m/f; touch /m/x'",
  ),
  line(
    "run --mount",
    '$C run --rm --mount type=tmpfs,src=tmpfs,dst=/m,options=size=64k $B r25b sh -c \'grep " /m " /proc/mounts | cut -d" " -f3\'',
  ),
  line("run --net-host", "$C run --rm --net-host $B r26 readlink /proc/self/ns/net | cmp - $W/hostnet"),
  line("run --read-only", "$C run --rm --read-only $B r27 touch /x"),
  line("run --runtime", "$C run --rm --runtime io.containerd.runc.v2 $B r28 echo v2"),
  line("run --runtime", "$C run --rm --runtime io.containerd.none.v1 $B r28b true; $C c rm r28b", {
    compare: "code",
  }),
  line(
    "run --tty",
    "script -qec \"$C run --rm -t $B r29 sh -c 'tty; exit 3'\" /dev/null </dev/null >$W/tty; echo $?; grep -o pts/0 $W/tty",
  ),
  line(
    "run --with-ns",
    "$C run --rm --with-ns uts:/proc/self/ns/uts $B r30 readlink /proc/self/ns/uts | cmp - $W/hostuts",
  ),
  line("run --gpus", "$C run --rm --gpus 0 $B r31 true", code),
  line("run --allow-new-privs", "$C run --rm --allow-new-privs $B r32 grep NoNewPrivs /proc/self/status"),
  line("run", "$C run --rm $B r32b grep -E 'NoNewPrivs|Seccomp:|Cap' /proc/self/status"),
  line(
    "run --memory-limit",
    "$C run --rm --memory-limit 67108864 $B r33 cat /sys/fs/cgroup/memory/memory.limit_in_bytes",
  ),
  line("run --device", "$C run --rm --device /dev/loop-control $B r34 ls /dev/loop-control"),
  line(
    "run --cap-add",
    "$C run --rm --cap-add CAP_SYS_PTRACE --cap-drop CAP_CHOWN $B r35 grep Cap /proc/self/status",
  ),
  line("run --seccomp", "$C run --rm --seccomp $B r36 grep Seccomp: /proc/self/status"),
  line(
    "run --seccomp-profile",
    `echo '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}' >$W/sec.json; $C run --rm --seccomp --seccomp-profile $W/sec.json $B r37 mkdir /x`,
  ),
  line("run --apparmor-profile", "$C run --rm --apparmor-profile none $B r38 true; $C c rm r38", {
    compare: "no",
  }),
  line("run --rootfs", "$C run --rm --rootfs $W/rootfs r39 /bin/echo rootfs"),
  line("run --no-pivot", "$C run --rm --no-pivot --net-host $B r40 echo nopivot"),
  line(
    "run --rootfs-propagation",
    "$C run --rm --rootfs-propagation slave $B r41 sh -c 'grep -o \"master:\" /proc/self/mountinfo | head -1'",
    { compare: "code" },
  ),
  line("run --privileged", "$C run --rm --privileged $B r42 true; $C c rm r42", { compare: "no" }),
  line("run --pid-file", "$C run --rm --pid-file $W/pf $B r43 true; test -s $W/pf"),
  line(
    "run --runtime-config-path",
    "$C run --rm --runtime-config-path $W/nothing.toml $B r44 true; $C c rm r44",
    code,
  ),
  line(
    "run",
    "$C run --rm $B r45 /no/such 2>&1 | grep -o 'exec: \"/no/such\": stat /no/such: no such file or directory'; $C c rm r45",
  ),
  line("run", "$C run --rm $R/none:1 r46 true"),
  line("run", "$C run --rm --user 1000 $B r47 true", code),
  // install
  line(
    "install",
    "$C i pull --plain-http $R/inst:1 >/dev/null 2>&1; $C install --path $W/opt $R/inst:1 && find $W/opt -type f | sort && $W/opt/bin/tool",
  ),
  line("install", "$C install --path $W/opt $R/inst:1"),
  line("install", "$C install --replace --libs --path $W/opt $R/inst:1 && find $W/opt -type f | sort"),
  line("install", "$C install $R/inst:1", { compare: "no" }),
  // the rest
  line(
    "events",
    "$C events >$W/events & till '$C ns label $N e=1; grep namespaces $W/events'; kill $!; wait; awk '{print $5,$6,$7}' $W/events | grep namespaces | head -1",
  ),
  line("shim state", "$C run -d $B sh1 sleep 100; $C shim --id sh1 state", {
    differs: "our shim is part of the daemon; shims of others answer (shims.test.ts)",
    compare: "no",
  }),
  line("shim", "$C t rm -f sh1; $C c rm sh1"),
  line("pprof heap", "$C pprof --debug-socket $W/none.sock heap >/dev/null", code),
  // what is left
  line("tasks list", "$C t ls"),
  line("containers list", "$C c ls"),
  line("images delete", "$C i rm --sync $($C i ls -q); $C i ls -q"),
  line("content list", "$C content rm $($C content ls -q) >/dev/null 2>&1; $C content ls -q"),
  line(
    "snapshots list",
    "for s in overlayfs native; do for n in 1 2 3; do $C snapshots --snapshotter $s rm $($C snapshots --snapshotter $s ls | awk 'NR>1{print $1}') >/dev/null 2>&1; done; $C snapshots --snapshotter $s ls; done",
  ),
];

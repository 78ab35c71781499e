/** Our command line against docker's own: the same words must become the same request. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeDaemon, runClient } from "../helpers/fake-daemon.ts";

const id = "f".repeat(64);

/** Go's maps have no order: what comes from one is compared sorted. */
function normalized(body: string): unknown {
  const parsed = JSON.parse(body);
  parsed.HostConfig?.Binds?.sort();
  parsed.Env?.sort();
  return parsed;
}

/** The rest of `create`, the image being busybox unless given after `|`. */
const lines: string[] = [
  "",
  "-it",
  "-i",
  "-t --name x",
  "-a stdout",
  "-a stdin -a STDERR",
  "-e A=1 -e B= -e HOME -e NOT_THERE_AT_ALL",
  "-e A=b=c --env C=d",
  "--env-file env.list -e LAST=1",
  "-l a=b --label c --label d=",
  "--label-file labels.list -l x=y",
  "-p 80",
  "-p 8080:80",
  "-p 127.0.0.1:8080:80/udp",
  "-p [::1]:8080:80",
  "-p 8000-8003:8000-8003",
  "-p 3000-3005:80",
  "-p 8080:80 -p 8081:80/TCP",
  "-p 127.0.0.1::80",
  "-p published=8080,target=80,protocol=udp",
  "-p target=90",
  "--expose 80 --expose 90-92/udp -P",
  "-v /data",
  "-v /a:/b:ro -v vol:/c",
  "-v ./rel:/x",
  "-v .:/here:rw,z",
  "-v name:/x:nocopy --volume-driver local --volumes-from other:ro",
  "--mount type=bind,source=/a,target=/b,readonly",
  "--mount type=bind,src=.,dst=/b,bind-propagation=rslave,bind-recursive=disabled",
  "--mount type=bind,src=/a,dst=/b,ro,bind-recursive=writable",
  "--mount type=volume,source=v,target=/v,volume-driver=d,volume-opt=a=b,volume-label=l=m,volume-nocopy",
  "--mount target=/anon",
  "--mount type=volume,src=v,dst=/v,volume-subpath=a/b",
  "--mount type=tmpfs,target=/t,tmpfs-size=64m,tmpfs-mode=1777",
  "--mount type=image,source=alpine,target=/i,image-subpath=etc",
  "--mount type=bind,source=/a,target=/b,consistency=cached --mount type=tmpfs,dst=/q",
  "--tmpfs /run:rw,size=64m --tmpfs /x",
  "--memory 64m --memory-reservation 32M --memory-swap -1 --memory-swappiness 10",
  "--memory 1.5g --kernel-memory 4m --shm-size 128m",
  "--cpus 1.5 --cpu-shares 512 --cpuset-cpus 0-1 --cpuset-mems 0",
  "--cpus 3/2",
  "--cpu-period 100000 --cpu-quota 50000 --cpu-rt-period 1000 --cpu-rt-runtime 500",
  "--pids-limit 100 --oom-kill-disable --oom-score-adj -500",
  "--blkio-weight 300 --blkio-weight-device /dev/sda:200",
  "--device-read-bps /dev/sda:1mb --device-write-bps /dev/sda:2k --device-read-iops /dev/sda:100 --device-write-iops /dev/sda:10",
  "--ulimit nofile=1024:2048 --ulimit core=0 --ulimit nproc=-1",
  "--device /dev/null --device /dev/zero:/dev/z --device /dev/full:r --device /dev/tty:/dev/t:rw",
  "--device vendor.com/class=name",
  "--device-cgroup-rule c\\ 1:3\\ mr",
  "--gpus all",
  "--gpus 2",
  '--gpus "device=0,1"',
  "--gpus device=GPU-3a,driver=nvidia,capabilities=utility",
  "--cap-add net_admin --cap-add CAP_SYS_TIME --cap-add NET_ADMIN --cap-drop all",
  "--privileged --read-only --init",
  "--init=false",
  "--security-opt no-new-privileges --security-opt label=disable --security-opt apparmor:x",
  "--security-opt seccomp=profile.json",
  "--security-opt seccomp=unconfined --security-opt systempaths=unconfined",
  "--security-opt no-new-privileges:true",
  "--user 1000:1000 --workdir /w --group-add video --group-add 5",
  "--hostname h --domainname d.example",
  "-h short",
  "--entrypoint /bin/sh | busybox -c true",
  "--entrypoint= | busybox x",
  "| busybox sh -c --not-a-flag -it",
  "| localhost:5000/a/b:tag@sha256:0123456789012345678901234567890123456789012345678901234567890123 x",
  "--restart always",
  "--restart on-failure:3",
  "--restart unless-stopped",
  "--rm",
  "--rm --restart no",
  "--stop-signal SIGINT --stop-timeout 0",
  "--stop-timeout 30",
  "--log-driver json-file --log-opt max-size=10m --log-opt max-file=3",
  "--log-driver none",
  "--network host",
  "--network none",
  "--network bridge",
  "--network container:abc",
  "--network mine",
  "--net mine --network-alias a --net-alias b --ip 10.0.0.5 --ip6 fd00::5 --link-local-ip 169.254.1.1",
  "--network name=mine,alias=x,alias=y,ip=10.0.0.9,driver-opt=com.example.a=b,gw-priority=5",
  "--network name=mine,mac-address=02:42:ac:11:00:09",
  "--network one --network name=two,alias=z",
  "--mac-address 02:42:ac:11:00:02",
  "--network mine --mac-address 02:42:ac:11:00:02 --link db:d",
  "--link db:database --link other",
  "--dns 1.1.1.1 --dns 2001:DB8:0::1 --dns-search example.com --dns-search . --dns-option ndots:2 --dns-opt timeout:1",
  "--add-host a:1.2.3.4 --add-host b=::1 --add-host c:host-gateway --add-host d:[fe80::1]",
  "--ipc host --pid host --uts host --userns host --cgroupns private",
  "--ipc container:abc --pid container:abc --cgroup-parent /x",
  "--sysctl net.core.somaxconn=1024 --sysctl kernel.shmmax=1",
  "--health-cmd 'curl x' --health-interval 30s --health-timeout 1m30s --health-retries 3 --health-start-period 500ms --health-start-interval 1s",
  "--no-healthcheck",
  "--runtime runsc --isolation default",
  "--storage-opt size=10G",
  "--annotation a=b --annotation c=d",
  "--platform linux/arm64",
  "--platform arm64 -v :",
  "--platform linux/x86_64",
  "--platform linux/arm/v7",
  "--platform linux/arm64/v8",
  "--platform linux",
  "-e A=1 -e A=2",
  "--platform linux/amd64 --name with-platform",
  "-it=true",
  "-m64m -ueve -w/w -eA=1",
  "--cidfile cid.txt",
];

/** Command lines that must be refused, with the same words and exit code. */
const refused: string[] = [
  "",
  "--nope busybox",
  "-Z busybox",
  "--name",
  "--cpu-shares x busybox",
  "--cpus x busybox",
  "--cpus 0.0000000001 busybox",
  "--memory x busybox",
  "--memory 5q busybox",
  "-p x busybox",
  "-p 1.2.3:80:80 busybox",
  "-p 80-90:80-95 busybox",
  "-p 80/foo busybox",
  "-p 99999 busybox",
  "--expose a:b busybox",
  "--expose 9-1 busybox",
  "-v /a:/b:ro:x busybox",
  "--mount type=bind busybox",
  "--mount foo=bar,target=/x busybox",
  "--mount type=bind,target=/x,tmpfs-size=1m busybox",
  "--ulimit foo=1 busybox",
  "--ulimit nofile busybox",
  "--ulimit nofile=5:2 busybox",
  "--device null busybox",
  "--device /dev/null:/dev/x:q busybox",
  "--pid x busybox",
  "--cgroupns x busybox",
  "--restart on-failure:x busybox",
  "--restart always --rm busybox",
  "--sysctl vm.swappiness=1 busybox",
  "--add-host x busybox",
  "--add-host x:y busybox",
  "--dns x busybox",
  "--mac-address zz busybox",
  "--security-opt foo busybox",
  "--security-opt seccomp=/not/there.json busybox",
  "--log-driver none --log-opt a=b busybox",
  "--network one --network host busybox",
  "--network one --network one busybox",
  "--network bridge --network-alias a busybox",
  "--health-interval x busybox",
  "--no-healthcheck --health-cmd x busybox",
  "--health-retries=-1 --health-cmd x busybox",
  "--env =x busybox",
  "--label =x busybox",
  "--env-file /not/there busybox",
  "--attach foo busybox",
  "--memory-swappiness 200 busybox",
  "--blkio-weight-device /dev/sda:5 busybox",
  "--device-read-bps sda:1 busybox",
  "--gpus x busybox",
  "--pull sometimes busybox",
  "--storage-opt x busybox",
  "--init=maybe busybox",
  "--platform linux/nope/x/y busybox",
  "UPPER",
  "a::b",
];

/** Splits as a shell would, with quotes and backslashes. */
function words(line: string): string[] {
  return [...line.matchAll(/(?:'([^']*)'|"([^"]*)"|\\(.)|([^\s'"\\]))+/g)].map((match) =>
    match[0].replace(/'([^']*)'|"([^"]*)"|\\(.)/g, (_, a, b, c) => a ?? b ?? c),
  );
}

let directory = "";
let daemon: FakeDaemon;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "corten-parity-"));
  writeFileSync(
    join(directory, "env.list"),
    "# comment\nFROM_FILE=1\n  SPACED=a b \nHOME\nNOT_THERE_AT_ALL\n\n",
  );
  writeFileSync(join(directory, "labels.list"), "one=1\ntwo\n");
  writeFileSync(join(directory, "profile.json"), '{\n  "defaultAction": "SCMP_ACT_ALLOW",\n  "x": "a b" }\n');
  daemon = new FakeDaemon(({ method, target }) =>
    method === "POST" && target.startsWith("/containers/create")
      ? { status: 201, json: { Id: id, Warnings: ["careful"] } }
      : undefined,
  );
});
afterAll(() => {
  daemon[Symbol.dispose]();
  rmSync(directory, { recursive: true, force: true });
});

async function record(which: "ours" | "real", args: string[]) {
  rmSync(join(directory, "cid.txt"), { force: true });
  const before = daemon.requests.length;
  const ended = await runClient(which, args, { host: daemon.host, cwd: directory });
  return { ended, requests: daemon.requests.slice(before) };
}

describe("create sends what docker's create sends", () => {
  for (const line of lines)
    test(`create ${line}`, async () => {
      const [flags, image = "busybox"] = line.split("|").map((part) => part.trim());
      const args = ["create", ...words(flags ?? ""), ...words(image)];
      const real = await record("real", args);
      const ours = await record("ours", args);
      expect(ours.ended).toEqual(real.ended);
      expect(real.requests).toHaveLength(1);
      expect(ours.requests).toHaveLength(1);
      expect(ours.requests[0]!.target).toBe(real.requests[0]!.target);
      expect(normalized(ours.requests[0]!.body)).toEqual(normalized(real.requests[0]!.body));
    });
});

describe("create refuses what docker's create refuses, in the same words", () => {
  for (const line of refused)
    test(`create ${line}`, async () => {
      const args = ["create", ...words(line)];
      const real = await record("real", args);
      const ours = await record("ours", args);
      expect(ours.ended).toEqual(real.ended);
      expect(ours.requests).toEqual([]);
    });
});

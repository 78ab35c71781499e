/** RUN: forms, mounts, networks, what it leaves. */
import type { Case } from "../case.ts";

export const run: Case[] = [
  {
    name: "RUN in shell and exec form",
    dockerfile:
      'FROM busybox\nRUN echo "a  b" $HOME > /shell\nRUN ["/bin/sh", "-c", "echo exec $0 > /exec", "arg"]\n',
    tree: { "/exec": "644 =exec arg\n", "/shell": "644 =a  b /root\n" },
    layers: 2,
    peer: ["docker", "buildah"],
  },
  {
    name: "RUN sees ENV, WORKDIR, USER and the image's PATH, and a umask of 022",
    dockerfile:
      "FROM busybox\nENV A=b\nRUN mkdir -m 777 /w\nWORKDIR /w\nUSER www-data\nRUN echo $A $PWD $(id -un) $(umask) $PATH > f\n",
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b"],
      WorkingDir: "/w",
      User: "www-data",
    },
    tree: {
      "/w/": "777",
      "/w/f": "644 33:33 =b /w www-data 0022 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n",
    },
    peer: "docker",
  },
  {
    name: "RUN removes, moves and changes what is below it",
    dockerfile:
      "FROM busybox\nRUN rm /bin/ls && mv /etc/group /etc/moved && chmod 600 /etc/passwd && chown 5:6 /var && rmdir /usr && mkdir /usr && ln -s /x /tmp/l\n",
    tree: {
      "/bin/ls": "gone",
      "/etc/group": "gone",
      "/etc/moved": "644 =root:x:0:\nwww-data:x:33:\nnogroup:x:65534:\nstaff:x:50:nobody\n",
      "/etc/passwd":
        "600 =root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n",
      "/tmp/l": "-> /x",
      "/var/": "755 5:6",
    },
    layers: 1,
    peer: ["docker", "buildah"],
  },
  {
    name: "a directory that is removed and made again is empty",
    dockerfile:
      "FROM busybox\nCOPY d /d\nRUN rm -r /d && mkdir /d && echo new > /d/new\nRUN rm -r /d/new && mkdir /d/new\n",
    files: { "d/old": "o", "d/sub/x": "x" },
    tree: { "/d/": "755", "/d/new/": "755" },
    layers: 3,
    peer: ["docker"],
  },
  {
    name: "special files, hard links and long names are in the layer",
    dockerfile: `FROM busybox\nRUN mkfifo -m 600 /p && echo x > /h1 && ln /h1 /h2 && mkdir -p /${"d".repeat(100)}/${"e".repeat(100)} && echo l > /${"d".repeat(100)}/${"e".repeat(100)}/f\n`,
    tree: {
      [`/${"d".repeat(100)}/`]: "755",
      [`/${"d".repeat(100)}/${"e".repeat(100)}/`]: "755",
      [`/${"d".repeat(100)}/${"e".repeat(100)}/f`]: "644 =l\n",
      "/h1": "644 =x\n",
      "/h2": "same as /h1",
      "/p": "fifo 600",
    },
    peer: ["docker", "buildah"],
  },
  {
    name: "what changes nothing is a layer of its own all the same",
    dockerfile: "FROM busybox\nRUN true\nRUN : again\n",
    tree: {},
    layers: 2,
    peer: "docker",
  },
  {
    name: "a step that fails names its command, its exit code and its line",
    dockerfile: "FROM busybox\n\nRUN echo said && \\\n  exit 7\n",
    error: ["exit code: 7", "Dockerfile:3", "said", ">>>"],
    peer: ["docker", "buildah"],
  },
  {
    name: "a program that is not there",
    dockerfile: 'FROM busybox\nRUN ["/nothing", "here"]\n',
    error: ["/nothing", "Dockerfile:2"],
    peer: ["docker", "buildah"],
  },
  {
    name: "--mount=type=bind of the context, read-only, gone afterwards",
    left: ["/src/", "/one"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=bind,target=/src cat /src/f > /a; touch /src/no 2>/dev/null || echo ro >> /a\nRUN --mount=target=/one,source=d/x cat /one > /b\n",
    files: { f: "f\n", "d/x": "x\n" },
    tree: { "/a": "644 =f\nro\n", "/b": "644 =x\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=bind of a name with stars, questions and brackets is of that name",
    left: ["/m", "/n"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=bind,source=a*b,target=/m cat /m > /x\nRUN --mount=type=bind,source=q[1]/f?,target=/n cat /n > /y\n",
    files: { "a*b": "star", axb: "no", "q[1]/f?": "odd", "q1/fg": "no" },
    tree: { "/x": "644 =star", "/y": "644 =odd" },
    peer: { none: "because docker 20.10 does not send files whose names are patterns" },
  },
  {
    name: "--mount=type=bind from a stage and an image, with writes that are lost",
    left: ["/m/"],
    dockerfile:
      "FROM busybox AS made\nRUN mkdir /d && echo x > /d/x\nFROM busybox\nRUN --mount=type=bind,from=made,source=/d,target=/m,rw cat /m/x > /a && echo y > /m/y && cat /m/y >> /a\nRUN --mount=from=made,target=/m cat /m/d/* > /b\n",
    tree: { "/a": "644 =x\ny\n", "/b": "644 =x\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=tmpfs hides what is below and is empty",
    dockerfile:
      "FROM busybox\nCOPY f /t/f\nRUN --mount=type=tmpfs,target=/t ls /t > /a; echo x > /t/x; grep -c ' /t tmpfs ' /proc/mounts >> /a\n",
    files: { f: "f" },
    tree: { "/a": "644 =1\n", "/t/": "755", "/t/f": "644 =f" },
    peer: "docker",
  },
  {
    name: "--mount=type=cache is kept between steps by id and is not in the image",
    left: ["/c/", "/other/", "/other/place/"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=cache,id=keep1,target=/c echo one > /c/f\nRUN --mount=type=cache,id=keep1,target=/other/place cat /other/place/f > /a\nRUN --mount=type=cache,target=/c ls /c > /b\n",
    tree: { "/a": "644 =one\n", "/b": "644 =" },
    peer: "docker",
  },
  {
    name: "--mount=type=cache with owner and mode, and from a stage",
    left: ["/c/"],
    dockerfile:
      "FROM busybox AS seed\nRUN mkdir /s && echo seeded > /s/f\nFROM busybox\nRUN --mount=type=cache,target=/c,id=own2,uid=33,gid=50,mode=0700 stat -c '%a %u:%g' /c > /a\nRUN --mount=type=cache,target=/c,id=seed2,from=seed,source=/s cat /c/f > /b\n",
    tree: { "/a": "644 =700 33:50\n", "/b": "644 =seeded\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=cache,sharing=private and locked",
    left: ["/c/"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=cache,target=/c,id=p3,sharing=private echo x > /c/x && ls /c > /a\nRUN --mount=type=cache,target=/c,id=l3,sharing=locked echo y > /c/y && ls /c > /b\n",
    tree: { "/a": "644 =x\n", "/b": "644 =y\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=cache,ro cannot be written",
    left: ["/c/"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=cache,target=/c,id=r4,ro touch /c/x 2>/dev/null || echo ro > /a\n",
    tree: { "/a": "644 =ro\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=secret as a file, for its owner only, and not in the image",
    left: ["/run/", "/run/secrets/", "/k/", "/run/secrets/s", "/k/s"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=secret,id=s cat /run/secrets/s > /a; stat -c '%a %u' /run/secrets/s >> /a\nRUN --mount=type=secret,id=s,target=/k/s,uid=33,mode=0444 cat /k/s > /b; stat -c '%a %u' /k/s >> /b\n",
    beside: { secrets: { one: "hidden\n" } },
    flags: ["--secret", "id=s,src=$$DIR/secrets/one"],
    tree: { "/a": "644 =hidden\n400 0\n", "/b": "644 =hidden\n444 33\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=secret that was not given: none, and an error when required",
    dockerfile:
      "FROM busybox\nRUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\nRUN --mount=type=secret,id=absent,required true\n",
    error: ["absent", "Dockerfile:3"],
    peer: "docker",
  },
  {
    name: "--mount=type=secret as a variable",
    dockerfile:
      "FROM busybox\nRUN --mount=type=secret,id=s,env=TOKEN echo $TOKEN > /a; test ! -e /run/secrets/s\nRUN --mount=type=secret,id=s,env=T2,target=/f cat /f > /b; echo $T2 >> /b\nRUN echo x$TOKEN > /c\n",
    flags: ["--secret", "id=s,env=MY_SECRET"],
    env: { MY_SECRET: "from-env" },
    tree: { "/a": "644 =from-env\n", "/b": "644 =from-envfrom-env\n", "/c": "644 =x\n" },
    peer: { none: "because docker 20.10 and buildah 1.28 do not have secrets as variables" },
  },
  {
    name: "a secret from a variable as a file",
    dockerfile: "FROM busybox\nRUN --mount=type=secret,id=MY_SECRET,dst=/s cat /s > /a\n",
    flags: ["--secret", "id=MY_SECRET"],
    env: { MY_SECRET: "value" },
    tree: { "/a": "644 =value" },
    peer: "docker",
  },
  {
    name: "--mount=type=ssh gives an agent's socket",
    left: ["/run/", "/run/buildkit/", "/agent"],
    dockerfile:
      "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /a; stat -c '%a' $SSH_AUTH_SOCK >> /a\nRUN --mount=type=ssh,id=default,target=/agent,mode=0666,uid=5 stat -c '%a %u' /agent > /b\n",
    flags: ["--ssh", "default=$$AGENT"],
    tree: { "/a": "644 =/run/buildkit/ssh_agent.0\n600\n", "/b": "644 =666 5\n" },
    peer: "docker",
  },
  {
    name: "--mount=type=ssh,required without an agent",
    dockerfile: "FROM busybox\nRUN --mount=type=ssh,required true\n",
    error: ["Dockerfile:2"],
    peer: "docker",
  },
  {
    name: "mounts' flags with variables and several of them",
    dockerfile:
      "FROM busybox\nARG id=v5\nARG where=/m\nRUN --mount=type=cache,id=$id,target=$where --mount=type=bind,source=f,target=/f cat /f > $where/x; cat $where/x > /a\n",
    files: { f: "f\n" },
    tree: { "/a": "644 =f\n" },
    peer: "buildah",
  },
  {
    name: "--network=none has only a loopback device",
    dockerfile: "FROM busybox\nRUN --network=none ls /sys/class/net > /a; cat /proc/net/dev | wc -l > /b\n",
    flags: [],
    tree: { "/a": "644 =lo\n", "/b": "644 =3\n" },
    peer: { none: "because docker 20.10's frontend has no RUN --network" },
  },
  {
    name: "--network=host sees the host's devices when it is allowed",
    dockerfile:
      "# syntax=docker/dockerfile:1\nFROM busybox\nRUN --network=host wget -q -O /a $$HTTP/file.txt\n",
    flags: ["--allow", "network.host"],
    tree: { "/a": "644 =downloaded" },
    peer: { none: "because docker 20.10's frontend has no RUN --network" },
  },
  {
    name: "--network=host is refused when it is not allowed",
    dockerfile: "FROM busybox\nRUN --network=host true\n",
    error: "network.host",
    peer: { none: "because docker 20.10's frontend has no RUN --network" },
  },
  {
    name: "--security=insecure is refused when it is not allowed, and gives all rights when it is",
    dockerfile: "FROM busybox\nRUN --security=sandbox true\nRUN --security=insecure true\n",
    error: "security.insecure",
    peer: { none: "because docker 20.10 wants a labs frontend for it" },
  },
  {
    name: "--security=insecure may mount",
    dockerfile:
      "FROM busybox\nRUN mkdir /m\nRUN --security=insecure mount -t tmpfs x /m && umount /m && echo yes > /a\n",
    flags: ["--allow", "security.insecure"],
    tree: { "/a": "644 =yes\n", "/m/": "755" },
    peer: { none: "because docker 20.10 wants a labs frontend for it" },
  },
  {
    name: "a step without rights cannot mount, and has a hostname and hosts",
    dockerfile:
      "FROM busybox\nRUN mount -t tmpfs x /tmp 2>/dev/null || echo no > /a; hostname > /b; grep -c localhost /etc/hosts >> /b\n",
    flags: ["--add-host", "far:10.1.2.3"],
    tree: { "/a": "644 =no\n", "/b": "644 =buildkitsandbox\n2\n" },
    peer: "docker",
  },
  {
    name: "what a step leaves running is ended with it",
    dockerfile: "FROM busybox\nRUN sleep 300 & echo done > /a\n",
    tree: { "/a": "644 =done\n" },
    peer: "docker",
  },
  {
    name: "the classic builder runs the same",
    dockerfile:
      "FROM busybox\nENV A=1\nRUN echo $A > /a && rm /bin/ls && chmod 777 /tmp\nUSER www-data\nWORKDIR /tmp\nRUN id -u > /tmp/b\n",
    tree: { "/a": "644 =1\n", "/bin/ls": "gone", "/tmp/": "777", "/tmp/b": "644 33:33 =33\n" },
    config: {
      Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=1"],
      User: "www-data",
      WorkingDir: "/tmp",
    },
    peer: "classic",
  },
  {
    name: "--mount from a named context",
    dockerfile: "FROM busybox\nRUN --mount=from=other,target=/m cat /m/f > /a\n",
    beside: { other: { f: "other\n" } },
    flags: ["--build-context", "other=$$DIR/other"],
    tree: { "/a": "644 =other\n" },
    peer: "buildah",
  },
  {
    name: "--mount=type=tmpfs with a size",
    dockerfile:
      "FROM busybox\nRUN --mount=type=tmpfs,target=/t,size=1m df -k /t | tail -1 | awk '{print $2}' > /a\n",
    tree: { "/a": "644 =1024\n" },
    peer: { none: "because docker 20.10 and buildah 1.28 do not have a tmpfs' size" },
  },
  {
    name: "steps side by side: a shared cache is seen by both, a locked one by one at a time, a private one is each its own",
    dockerfile: [
      ...["one two", "two one"].flatMap((pair) => {
        const [me, other] = pair.split(" ") as [string, string];
        const mount = (sharing: string) =>
          `--mount=type=cache,id=side-${sharing},target=/${sharing},sharing=${sharing}`;
        return [
          `FROM busybox AS ${me}`,
          `RUN ${mount("shared")} touch /shared/${me}; n=0; until test -e /shared/${other}; do n=$((n+1)); test $n -lt 2000 || exit 1; usleep 10000; done`,
          `RUN ${mount("locked")} mkdir /locked/busy && usleep 100000 && rmdir /locked/busy && echo ${me} > /${me}`,
          `RUN ${mount("private")} mkdir /private/busy && usleep 100000 && rmdir /private/busy`,
        ];
      }),
      "FROM scratch",
      "COPY --from=one /one /",
      "COPY --from=two /two /",
      "",
    ].join("\n"),
    scratch: true,
    tree: { "/one": "644 =one\n", "/two": "644 =two\n" },
    peer: "docker",
  },
];

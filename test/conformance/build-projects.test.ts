/**
 * Ten projects' Dockerfiles (test/fixtures/projects), from Debian's packages to a running container. Each is built, run and
 * asked, built again from the cache, and built after a change, which only what depends on it may notice.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { ask, openProject, output, type Project, type Steps, succeeded } from "../helpers/build-project.ts";
import { type Engine, run, startEngine, until } from "../helpers/engine.ts";
import { startTestRegistry, type TestRegistry } from "../helpers/images.ts";
import { requires } from "../helpers/requires.ts";

const always = ["/etc/apt", "docker-registry", "busybox"];
// Ten at once take a minute when two processors have nothing else to do; here only what hangs is to end.
const timeout = 600_000;
const ready = requires(...always) === test;

let engine: Engine;
let registry: TestRegistry;

beforeAll(async () => {
  if (ready) [engine, registry] = await Promise.all([startEngine(), startTestRegistry()]);
});
afterAll(async () => {
  await engine?.[Symbol.asyncDispose]();
  await registry?.[Symbol.asyncDispose]();
});

/** A test of one project; they run side by side. */
function conform(
  name: string,
  project: string,
  body: (project: Project) => Promise<void>,
  needs: string[] = [],
) {
  const declare = requires(...always, ...needs);
  const work = async () => {
    using opened = openProject(engine, project, { PASSWORD: "open sesame" });
    await body(opened);
  };
  if (declare === test) test.concurrent(name, work, timeout);
  else declare(name, work);
}

/** The first build executes what is not another project's as well; the second one nothing. */
async function twice(project: Project, ...argv: string[]): Promise<Steps> {
  const first = await project.build(...argv);
  expect(first.cached.filter((name) => !/^(FROM|WORKDIR) /.test(name))).toEqual([]);
  const second = await project.build(...argv);
  expect(second.ran).toEqual([]);
  expect(second.cached.length).toBeGreaterThan(0);
  return first;
}

/** Steps by the beginnings of their names. */
function expectSteps(names: string[], beginnings: string[]): void {
  const found = names.map((name) => beginnings.find((beginning) => name.startsWith(beginning)) ?? name);
  expect(found.sort()).toEqual(beginnings.toSorted());
}

conform(
  "C with make: a static binary on nothing; a change of a comment ends at the binary",
  "static-c",
  async (project) => {
    const image = `${registry.address}/wordcount:1`;
    const flags = ["-t", image, "--build-arg", "VERSION=2.5", "--output", "type=image,push=true"];
    await twice(project, ...flags);
    expect(await output(engine, image)).toBe("wordcount 2.5\n");
    const source = `docker://${image}`;
    const read = await run(["skopeo", "inspect", "--tls-verify=false", "--config", source]);
    expect(JSON.parse(succeeded(read))).toMatchObject({
      config: {
        User: "65534:65534",
        Entrypoint: ["/wordcount"],
        Labels: { "org.opencontainers.image.title": "wordcount" },
      },
      rootfs: { diff_ids: [expect.stringMatching(/^sha256:/)] },
    });
    project.write("README", "still left out\n");
    expect((await project.build(...flags)).ran).toEqual([]);
    const main = readFileSync(join(project.directory, "src/main.c"), "utf8");
    project.write("src/main.c", `${main}/* The end. */\n`);
    const { ran, cached } = await project.build(...flags);
    expectSteps(ran, ["COPY src src", "RUN make CC=gcc", "RUN strip"]);
    expectSteps(
      cached.filter((name) => name.includes("--from")),
      ["COPY --from=build --chmod=0555"],
    );
    expect(succeeded(await run(["skopeo", "inspect", "--tls-verify=false", "--config", source]))).toBe(
      read.stdout,
    );
  },
  ["skopeo"],
);

conform(
  "C with shared libraries: a distroless-like final; the library is not built for the program's sake",
  "shared-c",
  async (project) => {
    const image = "projects/checksum";
    await twice(project, "-t", image);
    const crc = Bun.hash.crc32("corten").toString(16).padStart(8, "0");
    expect(await output(engine, image, "corten")).toBe(`${crc} uid=65532 zlib=1\n`);
    expect((await engine.corten("run", "--rm", "--entrypoint", "sh", image)).code).toBe(127);
    const main = readFileSync(join(project.directory, "app/main.c"), "utf8");
    project.write("app/main.c", main.replace("uid=", "user="));
    const { ran } = await project.build("-t", image);
    expectSteps(ran, ["COPY app .", "RUN make CC=gcc", "COPY --from=program"]);
    expect(await output(engine, image, "corten")).toContain("user=65532");
  },
);

conform(
  "Node service: stages of packages, tests and build; healthy, and ended by its signal",
  "node-service",
  async (project) => {
    const image = "projects/uptime";
    await twice(project, "-t", image);
    const [answer] = await ask(engine, image, 3000, ["/"], async (container) => {
      await until("health", async () => {
        const { stdout } = await engine.corten("inspect", "-f", "{{.State.Health.Status}}", container);
        return stdout === "healthy\n";
      });
      succeeded(await engine.corten("stop", container));
      expect((await engine.corten("logs", container)).stdout).toBe("listening on 3000\nclosed\n");
    });
    expect(JSON.parse(answer!.text)).toEqual({ version: "1.0.0", hour: "up for 1 hour", uid: 65532 });
    const tests = readFileSync(join(project.directory, "test/uptime.test.mjs"), "utf8");
    project.write("test/uptime.test.mjs", tests.replaceAll("3_600_000", "3600000"));
    // That it passed is all that others see of the test.
    expectSteps((await project.build("-t", image)).ran, ["COPY test test", "RUN node --test"]);
    project.write("test/uptime.test.mjs", tests.replace("up for 1 hour", "up for 2 hours"));
    await expect(project.build("-t", image)).rejects.toThrow("up for 2 hours");
  },
);

conform(
  "Python application: a wheel made with Debian's wheels of pip and setuptools, in a virtual environment",
  "python-app",
  async (project) => {
    const image = "projects/quotes";
    await twice(project, "-t", image);
    const [answer] = await ask(engine, image, 8000, ["/"]);
    expect(answer!.headers.get("x-version")).toBe("1.2.3");
    expect(answer!.text).toBe("Well begun is half done.\n");
    project.write("quotes/quotes.txt", "Slow and steady wins the race.\n");
    const { ran } = await project.build("-t", image);
    expectSteps(ran, [
      "COPY quotes quotes",
      "RUN --mount=type=cache",
      "RUN python3 -m venv --without-pip",
      "COPY --from=build /venv",
    ]);
    expect((await ask(engine, image, 8000, ["/"]))[0]!.text).toBe("Slow and steady wins the race.\n");
  },
);

conform(
  "Go program: vetted and built with Debian's Go and a cache of its own",
  "go-program",
  async (project) => {
    const image = "projects/table";
    const flags = ["-t", image, "--build-arg", "VERSION=0.3"];
    await twice(project, ...flags);
    expect(await output(engine, image)).toBe("table 0.3\n");
    expect(await output(engine, image, "a", "bcd")).toBe("a..|bcd\n");
    const columns = readFileSync(join(project.directory, "internal/columns/columns.go"), "utf8");
    project.write("internal/columns/columns.go", columns.replace('"."', '"_"'));
    expectSteps((await project.build(...flags)).ran, ["COPY . .", "RUN --mount=type=cache", "COPY --link"]);
    expect(await output(engine, image, "a", "bcd")).toBe("a__|bcd\n");
  },
);

conform(
  "nginx: a site made in a stage, with a configuration from a heredoc",
  "nginx-site",
  async (project) => {
    const image = "projects/site";
    mkdirSync(join(project.directory, "assets"));
    project.write("assets/style.css", "main { color: black }\n");
    succeeded(
      await run(["tar", "-C", project.directory, "-czf", join(project.directory, "assets.tar.gz"), "assets"]),
    );
    await twice(project, "-t", image);
    const paths = ["/", "/docs/start", "/assets/style.css", "/docs/draft.txt", "/health"];
    const answers = await ask(engine, image, 80, paths);
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 404, 204]);
    expect(answers.map(({ headers }) => headers.get("x-served-by"))).toEqual(Array(5).fill("corten"));
    expect(answers[0]!.text).toBe("<!doctype html>\n<title>Home</title>\n<main>Welcome. </main>\n");
    expect(answers[1]!.text).toContain("<title>How to start</title>");
    expect(answers[2]!.text).toBe("main { color: black }\n");
    project.write("pages/docs/draft.txt", "Still no page.\n");
    expect((await project.build("-t", image)).ran).toEqual([]);
    project.write("pages/docs/end.md", "# The end\n");
    // Archives are unpacked above the pages.
    expectSteps((await project.build("-t", image)).ran, [
      "COPY --parents",
      "COPY template.html",
      "RUN sh build.sh",
      "COPY --from=pages",
      "ADD --chmod=644",
    ]);
    expect((await ask(engine, image, 80, ["/docs/end"]))[0]!.text).toContain("<title>The end</title>");
  },
);

conform(
  "apt-get: layers on Debian as mmdebstrap makes it, with apt's caches in mounts",
  "apt-layers",
  async (project) => {
    const image = "projects/report";
    const options = ["--aptopt=Acquire::Languages none", "--dpkgopt=force-unsafe-io"];
    for (const path of ["man", "doc", "locale"]) options.push(`--dpkgopt=path-exclude=/usr/share/${path}/*`);
    const rootfs = join(project.directory, "rootfs.tar");
    succeeded(
      await run(["mmdebstrap", "-q", "--variant=apt", ...options, "bookworm", rootfs], { timeout: 500_000 }),
    );
    await twice(project, "-t", image);
    expect(await output(engine, image)).toBe("6\njq ii \ntini ii \nbuilt by app\napp\n0\n");
    const script = readFileSync(join(project.directory, "report.sh"), "utf8");
    project.write("report.sh", script.replace("add", "length"));
    const { ran } = await project.build("-t", image);
    expectSteps(ran, ["COPY --chown=app:app report.sh", "RUN echo"]);
    expect(await output(engine, image)).toStartWith("3\n");
  },
  ["mmdebstrap"],
);

conform(
  "Two services of one file: what they share is built once, also by docker-compose, and they meet",
  "compose-pair",
  async (project) => {
    const images = { web: "projects/pair-web", worker: "projects/pair-worker" };
    const flags = (target: "web" | "worker") => [
      ...["--target", target, "-t", images[target], "--build-arg", "GREETING=good day"],
    ];
    await Promise.all([project.build(...flags("web")), project.build(...flags("worker"))]);
    const [inWeb, inWorker] = await Promise.all([
      output(engine, "--entrypoint", "cat", images.web, "/srv/index.html"),
      output(engine, images.worker, "cat", "/opt/greeting"),
    ]);
    expect(inWeb).toMatch(/^good day [0-9a-f-]{36}\n$/);
    expect(inWorker).toBe(inWeb);
    for (const target of ["web", "worker"] as const)
      expect((await project.build(...flags(target))).ran).toEqual([]);

    const env = {
      DOCKER_HOST: engine.host,
      COMPOSE_DOCKER_CLI_BUILD: "0",
      COMPOSE_PROJECT_NAME: "pair",
      PROJECT_IMAGE: "projects/composed",
    };
    const compose = (...argv: string[]) =>
      run(["docker-compose", ...argv], { cwd: project.directory, env, timeout: 100_000 });
    try {
      succeeded(await compose("up", "-d", "--build"));
      await until("the worker's end", async () => /Exit 0/.test((await compose("ps")).stdout), 120);
      expect(succeeded(await compose("logs", "--no-color", "worker"))).toContain(`the web said: ${inWeb}`);
    } finally {
      succeeded(await compose("down", "-v"));
    }

    project.write("web.sh", "exec httpd -f -p 8080 -h /srv\n");
    expectSteps((await project.build(...flags("web"))).ran, ["COPY web.sh"]);
    expect((await project.build(...flags("worker"))).ran).toEqual([]);
  },
  ["docker-compose"],
);

conform(
  "Cache mounts, secrets, heredocs and named contexts; no secret is in the image",
  "toolbox",
  async (project) => {
    const image = "projects/toolbox";
    using vendor = openProject(engine, "toolbox.vendor");
    using docs = openProject(engine, "toolbox.docs");
    project.write("token", "first-token");
    const flags = [
      ...["-t", image, "--secret", "id=token,src=token", "--secret", "id=password,env=PASSWORD"],
      ...["--build-context", `vendor=${vendor.directory}`, "--build-context", `docs=${docs.directory}`],
    ];
    await twice(project, ...flags);
    const hash = new Bun.CryptoHasher("sha256").update("first-token").digest("hex");
    expect(await output(engine, image)).toBe(
      `${hash}\n11\n1000 750\none\ntwo\n{ "default": true }\nAnybody may do anything.\n` +
        "[base]\nname=deb:busybox-static\n$NOT_EXPANDED\n",
    );
    const listing = "cat /work/count; cd /work/vendor && ls; stat -c '%n %u:%g' /usr/share/doc/*.md";
    expect(await output(engine, "-v", "/nothing", "--entrypoint", "sh", image, "-c", listing)).toBe(
      "library.sh\n/usr/share/doc/manual.md 7:8\n",
    );
    const archive = join(project.directory, "image.tar");
    succeeded(await engine.corten("save", "-o", archive, image));
    for (const secret of ["first-token", "open sesame"])
      expect((await run(["grep", "-cF", secret, archive])).stdout).toBe("0\n");

    project.write("token", "second-token");
    expect((await project.build(...flags)).ran).toEqual([]);
    docs.write("notes.txt", "Still not documentation.\n");
    expect((await project.build(...flags)).ran).toEqual([]);
    docs.write("manual.md", "# The manual\n");
    expectSteps((await project.build(...flags)).ran, ["COPY --from=docs"]);
    vendor.write("library.sh", "echo another library\n");
    const { ran } = await project.build(...flags);
    expect(ran.some((name) => name.startsWith("COPY --from=vendor"))).toBeTrue();
  },
);

conform(
  "An index of two platforms without a step that runs, with SBOM and provenance, as skopeo reads it",
  "multi-platform",
  async (project) => {
    const image = `${registry.address}/words:1`;
    for (const platform of ["amd64", "arm64"]) {
      mkdirSync(join(project.directory, "bin", platform), { recursive: true });
      copyFileSync("/bin/busybox", join(project.directory, "bin", platform, "busybox"));
      // Without it both would be one step: what is copied counts, not where it came from.
      project.write(`bin/${platform}/platform`, `${platform}\n`);
    }
    const flags = [
      ...["-t", image, "--platform", "linux/amd64,linux/arm64", "--push", "--build-arg", "VERSION=1.1"],
      ...["--sbom=true", "--provenance=mode=max"],
    ];
    await twice(project, ...flags);
    expect(await output(engine, image)).toBe("the same on both\n");

    const layout = join(project.directory, "layout");
    const copy = ["--insecure-policy", "copy", "--all", "--src-tls-verify=false"];
    succeeded(await run(["skopeo", ...copy, `docker://${image}`, `oci:${layout}:words`]));
    const blob = (digest: string) =>
      JSON.parse(readFileSync(join(layout, "blobs", digest.replace(":", "/")), "utf8"));
    const [top] = JSON.parse(readFileSync(join(layout, "index.json"), "utf8")).manifests;
    interface Entry {
      digest: string;
      platform: { architecture: string };
      annotations?: Record<string, string>;
    }
    const entries: Entry[] = blob(top.digest).manifests;
    expect(entries.map(({ platform }) => platform.architecture)).toEqual([
      ...["amd64", "arm64", "unknown", "unknown"],
    ]);
    const [amd64, arm64, ...attestations] = entries;
    for (const [index, entry] of [amd64!, arm64!].entries()) {
      const { config, layers } = blob(entry.digest);
      const { architecture, config: settings } = blob(config.digest);
      expect(settings.Labels).toEqual({
        "org.opencontainers.image.version": "1.1",
        platform: `linux/${architecture}`,
      });
      expect(layers).toHaveLength(3);
      const attestation = attestations[index]!;
      expect(attestation.annotations).toEqual({
        "vnd.docker.reference.type": "attestation-manifest",
        "vnd.docker.reference.digest": entry.digest,
      });
      const statements = blob(attestation.digest).layers.map(({ digest }: Entry) => blob(digest));
      const [sbom] = statements.filter(({ predicateType }: { predicateType: string }) =>
        predicateType.includes("spdx"),
      );
      expect(sbom.predicate.packages).toContainEqual(
        expect.objectContaining({ name: "tool", versionInfo: "1.0-1" }),
      );
      const [provenance] = statements.filter(({ predicateType }: { predicateType: string }) =>
        predicateType.includes("slsa"),
      );
      expect(provenance.subject[0].digest.sha256).toBe(entry.digest.slice("sha256:".length));
      expect(JSON.stringify(provenance.predicate)).toContain('"build-arg:VERSION":"1.1"');
    }

    project.write("bin/arm64/more", "only there\n");
    expectSteps((await project.build(...flags)).ran, [
      ...["COPY bin/arm64/", "COPY status", "LINK COPY --link"],
    ]);
  },
  ["skopeo"],
);

// Builds by dockerode. Arguments: socket, image, a directory to build. Prints `ok NAME` per check.
import assert from "node:assert";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import Docker from "dockerode";

const [, , socketPath, base, directory] = process.argv;
const docker = new Docker({ socketPath });

writeFileSync(join(directory, "Dockerfile"), `FROM ${base}\nCOPY file /file\nRUN cat /file >&2\n`);
writeFileSync(join(directory, "file"), "content\n");

const follow = (stream) =>
  new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, output) => (error ? reject(error) : resolve(output))),
  );

const stream = await docker.buildImage({ context: directory, src: ["Dockerfile", "file"] }, { t: "ode/one" });
const output = await follow(stream);
const text = output.map(({ stream = "" }) => stream).join("");
assert.match(text, /Successfully tagged ode\/one:latest/);
assert.match(text, /content/);
console.log("ok build");

const inspected = await docker.getImage("ode/one").inspect();
assert.equal(inspected.Id, output.find(({ aux }) => aux)?.aux.ID);
console.log("ok aux");

writeFileSync(
  join(directory, "Dockerfile"),
  `${readFileSync(join(directory, "Dockerfile"), "utf8")}RUN false\n`,
);
const failing = await docker.buildImage({ context: directory, src: ["Dockerfile", "file"] }, {});
const last = (await follow(failing)).at(-1);
assert.equal(last.errorDetail.code, 1);
assert.match(last.error, /non-zero code: 1/);
console.log("ok failure");

const failed = docker.buildImage({ context: directory, src: ["file"] }, {});
await assert.rejects(async () => follow(await failed), /Dockerfile/);
console.log("ok no Dockerfile");

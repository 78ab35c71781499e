// A session of dockerode (run by node, unmodified) against an engine: node dockerode.mjs SOCKET IMAGE
import assert from "node:assert/strict";
import { PassThrough } from "node:stream";
import Docker from "dockerode";

const [socketPath, image] = process.argv.slice(2);
const docker = new Docker({ socketPath });
const collect = (stream) =>
  new Promise((resolve, reject) => {
    let text = "";
    stream.on("data", (data) => {
      text += data;
    });
    stream.on("end", () => resolve(text));
    stream.on("error", reject);
  });
const check = async (name, work) => {
  await work();
  console.log(`ok ${name}`);
};

await check("ping, version, info", async () => {
  assert.equal(String(await docker.ping()), "OK");
  assert.match((await docker.version()).ApiVersion, /^1\.\d+$/);
  assert.equal(typeof (await docker.info()).Containers, "number");
});
await check("pull with progress", async () => {
  const stream = await docker.pull(image);
  const seen = await new Promise((resolve, reject) =>
    docker.modem.followProgress(stream, (error, output) => (error ? reject(error) : resolve(output))),
  );
  assert.ok(seen.some((event) => /Status: (Downloaded newer|Image is up to date)/.test(event.status ?? "")));
});
await check("run collects output and status", async () => {
  const stdout = new PassThrough();
  const text = collect(stdout);
  const [result, container] = await docker.run(image, ["sh", "-c", "echo from dockerode; exit 3"], stdout, {
    Tty: true,
  });
  assert.equal(result.StatusCode, 3);
  // The library ends it with the container's output, which comes on a connection of its own: not before the status.
  assert.equal((await text).trim(), "from dockerode");
  await container.remove();
});
await check("attach with stdin, half-close and demultiplexing", async () => {
  const container = await docker.createContainer({
    Image: image,
    Cmd: ["sh", "-c", "cat; echo err >&2"],
    OpenStdin: true,
    StdinOnce: true,
    AttachStdin: true,
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await container.attach({
    stream: true,
    hijack: true,
    stdin: true,
    stdout: true,
    stderr: true,
  });
  const out = new PassThrough();
  const err = new PassThrough();
  const texts = [collect(out), collect(err)];
  container.modem.demuxStream(stream, out, err);
  await container.start();
  stream.write("through stdin\n");
  const ended = new Promise((done) => stream.on("end", done));
  stream.end();
  await ended;
  out.end();
  err.end();
  assert.deepEqual(await Promise.all(texts), ["through stdin\n", "err\n"]);
  await container.wait();
  await container.remove();
});
await check("exec, inspect, logs, stats, top, stop, remove", async () => {
  const container = await docker.createContainer({
    Image: image,
    Cmd: ["sh", "-c", "echo up; sleep 300"],
    name: "ode",
  });
  await container.start();
  const exec = await container.exec({
    Cmd: ["sh", "-c", "echo in exec; exit 5"],
    AttachStdout: true,
    AttachStderr: true,
  });
  const stream = await exec.start({ hijack: true });
  const out = new PassThrough();
  const text = collect(out);
  container.modem.demuxStream(stream, out, out);
  await new Promise((done) => stream.on("end", done));
  out.end();
  assert.equal(await text, "in exec\n");
  assert.equal((await exec.inspect()).ExitCode, 5);
  assert.equal((await container.inspect()).State.Running, true);
  // An exec can be over before the container's own process has said anything.
  let logs = "";
  while (!/up\n/.test(logs)) logs = (await container.logs({ stdout: true })).toString();
  assert.ok((await container.top()).Processes.length >= 1);
  await assert.rejects(
    docker.createContainer({ Image: image, name: "ode" }),
    (error) => error.statusCode === 409,
  );
  await container.stop({ t: 0 });
  assert.equal((await container.inspect()).State.Status, "exited");
  await container.remove();
  await assert.rejects(docker.getContainer("ode").inspect(), (error) => error.statusCode === 404);
});
await check("volumes, networks, images, events", async () => {
  const events = await docker.getEvents({ filters: { type: ["volume"] } });
  const seen = new Promise((resolve) => events.once("data", (data) => resolve(JSON.parse(data))));
  const volume = await docker.createVolume({ Name: "ode-volume" });
  assert.equal((await seen).Action, "create");
  events.destroy();
  const [result, container] = await docker.run(
    image,
    ["sh", "-c", "echo kept > /data/file"],
    new PassThrough(),
    { HostConfig: { Binds: ["ode-volume:/data"] } },
  );
  assert.equal(result.StatusCode, 0);
  await container.remove();
  await docker.getVolume("ode-volume").remove();
  assert.ok((await docker.listNetworks()).some((network) => network.Name === "bridge"));
  assert.ok((await docker.listImages()).some((entry) => entry.RepoTags.includes(image)));
  await docker.getImage(image).tag({ repo: "ode/tagged", tag: "2" });
  await docker.getImage("ode/tagged:2").remove();
  assert.equal(typeof volume.name, "string");
});

"""A session of Docker's Python SDK, unmodified, against an engine: python3 docker_py.py SOCKET IMAGE"""
import sys
import docker

socket, image = sys.argv[1:3]
client = docker.DockerClient(base_url="unix://" + socket)


def check(name, condition=True):
    assert condition, name
    print("ok", name, flush=True)


check("ping and version", client.ping() and client.version()["ApiVersion"].startswith("1."))
check("pull", client.images.pull(image.rsplit(":", 1)[0], tag=image.rsplit(":", 1)[1]).tags == [image])
check("run gives the output", client.containers.run(image, ["echo", "from python"], remove=True) == b"from python\n")
try:
    client.containers.run(image, ["sh", "-c", "echo bad >&2; exit 4"], remove=True)
    check("a failing run raises", False)
except docker.errors.ContainerError as error:
    check("a failing run raises", error.exit_status == 4 and b"bad" in error.stderr)

container = client.containers.run(image, ["sh", "-c", "trap 'exit 9' TERM; echo started; while :; do sleep 0.1; done"], detach=True, name="py", labels={"a": "b"}, environment={"K": "v"}, mem_limit="64m")
container.reload()
check("detached container runs", container.status == "running")
check("labels and limits are kept", container.labels["a"] == "b" and container.attrs["HostConfig"]["Memory"] == 64 << 20)
code, output = container.exec_run(["sh", "-c", "echo $K; exit 2"])
check("exec_run", code == 2 and output == b"v\n")
code, (out, err) = container.exec_run(["sh", "-c", "echo o; echo e >&2"], demux=True)
check("exec_run demultiplexed", (out, err) == (b"o\n", b"e\n"))
sock = container.exec_run("cat", stdin=True, socket=True).output
check("exec socket", sock is not None)
sock.close()
# It follows: an exec can be over before the container's own process has said anything.
check("logs stream", next(container.logs(stream=True)) == b"started\n")
check("logs", b"started" in container.logs(tail="all"))
check("top", len(container.top()["Processes"]) >= 1)
check("list by label", [c.name for c in client.containers.list(filters={"label": "a=b"})] == ["py"])
container.pause()
container.reload()
check("pause", container.status == "paused")
container.unpause()
container.rename("py2")
container.reload()
check("rename", container.name == "py2")
container.stop(timeout=60)
check("wait gives the trap's status", container.wait()["StatusCode"] == 9)
container.start()
container.restart(timeout=0)
container.kill()
container.remove(force=True)
try:
    client.containers.get("py2")
    check("a removed container is not found", False)
except docker.errors.NotFound:
    check("a removed container is not found")

volume = client.volumes.create("py-volume")
client.containers.run(image, ["sh", "-c", "echo kept > /data/f"], volumes={"py-volume": {"bind": "/data", "mode": "rw"}}, remove=True)
out = client.containers.run(image, ["cat", "/data/f"], volumes={"py-volume": {"bind": "/data", "mode": "ro"}}, remove=True)
check("volume keeps its content", out == b"kept\n")
volume.remove()
check("networks", {"bridge", "host", "none"} <= {n.name for n in client.networks.list()})
tagged = client.images.get(image)
check("tag", tagged.tag("py/tagged", "1"))
check("history", len(tagged.history()) >= 1)
client.images.remove("py/tagged:1")
try:
    client.containers.create("no/such:image")
    check("missing image", False)
except docker.errors.ImageNotFound:
    check("missing image")

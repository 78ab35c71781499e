"""Builds by Docker's Python SDK. Arguments: socket, image. Prints `ok NAME` per check."""
import io
import sys
import tarfile

import docker

client = docker.DockerClient(base_url=f"unix://{sys.argv[1]}", version="auto", timeout=100)
base = sys.argv[2]


def check(name, condition, seen=None):
    if not condition:
        print(f"not ok {name}: {seen!r}", file=sys.stderr)
        sys.exit(1)
    print(f"ok {name}")


def dockerfile(text):
    return io.BytesIO(text.encode())


image, log = client.images.build(
    fileobj=dockerfile(f"FROM {base}\nRUN echo made > /made\nENV A=b\nCMD [\"cat\", \"/made\"]\n"),
    tag="py/one:1",
    rm=True,
)
lines = "".join(entry.get("stream", "") for entry in log)
check("build gives the image", image.tags == ["py/one:1"], image.tags)
check("steps are told", "Step 1/4" in lines and "Step 4/4" in lines and "Successfully built" in lines, lines)
check("env is set", "A=b" in image.attrs["Config"]["Env"], image.attrs["Config"])
check("the image runs", client.containers.run("py/one:1", remove=True) == b"made\n")

again, log = client.images.build(fileobj=dockerfile(f"FROM {base}\nRUN echo made > /made\nENV A=b\nCMD [\"cat\", \"/made\"]\n"))
lines = "".join(entry.get("stream", "") for entry in log)
check("a second build comes from the cache", again.id == image.id and "Using cache" in lines, lines)

try:
    client.images.build(fileobj=dockerfile(f"FROM {base}\nRUN exit 7\n"))
    check("a failing step fails", False)
except docker.errors.BuildError as error:
    check("a failing step fails", "returned a non-zero code: 7" in str(error), str(error))

buffer = io.BytesIO()
with tarfile.open(fileobj=buffer, mode="w") as archive:
    for name, text in {
        "Custom": f"FROM {base} AS first\nARG WHO\nLABEL who=$WHO\nCOPY . /all\nFROM first AS second\nRUN ls /all > /list\n",
        "keep": "kept",
        "drop": "dropped",
        ".dockerignore": "drop\n",
    }.items():
        info = tarfile.TarInfo(name)
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text.encode()))
buffer.seek(0)
image, _ = client.images.build(
    fileobj=buffer,
    custom_context=True,
    dockerfile="Custom",
    buildargs={"WHO": "me"},
    labels={"from": "outside"},
    target="first",
    nocache=True,
)
check("target, arguments and labels", image.labels == {"who": "me", "from": "outside"}, image.labels)
names = client.containers.run(image.id, ["ls", "/all"], remove=True).decode().split()
check(".dockerignore is respected", "keep" in names and "drop" not in names, names)

try:
    client.images.build(fileobj=dockerfile("FRM x\n"))
    check("a bad Dockerfile is refused", False)
except docker.errors.APIError as error:
    check("a bad Dockerfile is refused", "unknown instruction: FRM" in str(error), str(error))

low = [entry for entry in client.api.build(fileobj=dockerfile(f"FROM {base}\nRUN echo hi\n"), decode=True)]
check("the last word is the image", any("aux" in entry and entry["aux"]["ID"].startswith("sha256:") for entry in low), low)
pruned = client.api.prune_builds()
check("prune answers", "SpaceReclaimed" in pruned, pruned)

/**
 * All verbs: their one line for the help, and where each lives. A verb's file is imported only when it runs, so that
 * `ps` never loads what `run` needs.
 */
import { exec, type Node, ps, run } from "./frequent.ts";

export interface Group {
  summary: string;
  children: Record<string, Node>;
}

const pull: Node = {
  summary: "Fetch an image from a registry",
  load: () => import("./commands/image/pull.ts"),
  also: ["image pull", "pull"],
  common: true,
};
const push: Node = {
  summary: "Send an image to a registry",
  load: () => import("./commands/image/push.ts"),
  also: ["image push", "push"],
  common: true,
};
const images: Node = {
  summary: "List images",
  load: () => import("./commands/image/ls.ts"),
  also: ["image ls", "image list", "images"],
  aliases: ["list"],
  common: true,
};
const login: Node = {
  summary: "Store credentials for a registry",
  load: () => import("./commands/registry/login.ts"),
  common: true,
};
const logout: Node = {
  summary: "Forget the credentials for a registry",
  load: () => import("./commands/registry/logout.ts"),
  common: true,
};
const version: Node = {
  summary: "Show versions of client and daemon",
  load: () => import("./commands/system/version.ts"),
  common: true,
};
const info: Node = {
  summary: "Show the state of the daemon and its machine",
  load: () => import("./commands/system/info.ts"),
  also: ["system info", "info"],
  common: true,
};
const events: Node = {
  summary: "Follow what happens in the daemon",
  load: () => import("./commands/system/events.ts"),
  also: ["system events", "events"],
};

const build: Node = {
  summary: "Build an image of a Dockerfile",
  load: () => import("./commands/image/build.ts"),
  also: ["image build", "build", "buildx build", "builder build"],
  common: true,
};
const pruneBuilds: Node = {
  summary: "Remove what builds remember",
  load: () => import("./commands/builder/prune.ts"),
};
const buildUsage: Node = {
  summary: "Show what builds remember",
  load: () => import("./commands/builder/du.ts"),
};

const container = (name: string, summary: string, load: Node["load"]): Node => ({
  summary,
  load,
  also: [`container ${name}`, name],
});

const containerVerbs = {
  attach: container(
    "attach",
    "Connect this terminal to a running container",
    () => import("./commands/container/attach.ts"),
  ),
  commit: container(
    "commit",
    "Make an image of what a container has become",
    () => import("./commands/container/commit.ts"),
  ),
  cp: container(
    "cp",
    "Copy files between a container and this machine",
    () => import("./commands/container/cp.ts"),
  ),
  create: container(
    "create",
    "Make a container without starting it",
    () => import("./commands/container/create.ts"),
  ),
  diff: container(
    "diff",
    "List what a container changed in its filesystem",
    () => import("./commands/container/diff.ts"),
  ),
  export: container(
    "export",
    "Write a container's filesystem as a tar archive",
    () => import("./commands/container/export.ts"),
  ),
  kill: container(
    "kill",
    "Send a signal to running containers",
    () => import("./commands/container/kill.ts"),
  ),
  logs: container("logs", "Show what a container has written", () => import("./commands/container/logs.ts")),
  pause: container(
    "pause",
    "Freeze all processes of containers",
    () => import("./commands/container/pause.ts"),
  ),
  port: container("port", "List a container's published ports", () => import("./commands/container/port.ts")),
  rename: container(
    "rename",
    "Give a container another name",
    () => import("./commands/container/rename.ts"),
  ),
  restart: container("restart", "Stop and start containers", () => import("./commands/container/restart.ts")),
  rm: {
    summary: "Remove containers",
    load: () => import("./commands/container/rm.ts"),
    aliases: ["remove"],
    also: ["container rm", "container remove", "rm"],
  },
  start: container("start", "Start stopped containers", () => import("./commands/container/start.ts")),
  stats: container(
    "stats",
    "Show live resource use of containers",
    () => import("./commands/container/stats.ts"),
  ),
  stop: container("stop", "Stop running containers", () => import("./commands/container/stop.ts")),
  top: container("top", "Show the processes of a container", () => import("./commands/container/top.ts")),
  unpause: container(
    "unpause",
    "Thaw the processes of containers",
    () => import("./commands/container/unpause.ts"),
  ),
  update: container(
    "update",
    "Change the limits of containers",
    () => import("./commands/container/update.ts"),
  ),
  wait: container(
    "wait",
    "Wait for containers to stop and print their exit codes",
    () => import("./commands/container/wait.ts"),
  ),
} satisfies Record<string, Node>;

const history: Node = {
  summary: "Show how an image came to be",
  load: () => import("./commands/image/history.ts"),
  also: ["image history", "history"],
};
const tag: Node = {
  summary: "Give an image another name",
  load: () => import("./commands/image/tag.ts"),
  also: ["image tag", "tag"],
};
const save: Node = {
  summary: "Write images as a tar archive",
  load: () => import("./commands/image/save.ts"),
  also: ["image save", "save"],
};
const load: Node = {
  summary: "Read images from a tar archive",
  load: () => import("./commands/image/load.ts"),
  also: ["image load", "load"],
};

const importImage: Node = {
  summary: "Make an image of a file system's tar archive",
  load: () => import("./commands/image/import.ts"),
  also: ["image import", "import"],
};

export const tree: Record<string, Node | Group> = {
  run,
  exec,
  ps,
  build,
  pull,
  push,
  images,
  login,
  logout,
  version,
  info,
  container: {
    summary: "Manage containers",
    children: {
      ...containerVerbs,
      exec,
      run,
      ls: ps,
      inspect: {
        summary: "Show all that is known about containers",
        load: () => import("./commands/container/inspect.ts"),
      },
      prune: {
        summary: "Remove all stopped containers",
        load: () => import("./commands/container/prune.ts"),
      },
    },
  },
  builder: {
    summary: "Manage builds",
    children: { build, du: buildUsage, prune: pruneBuilds },
  },
  buildx: {
    summary: "Manage builds, by buildx' names",
    children: {
      build: { ...build, aliases: ["b"] },
      du: buildUsage,
      inspect: {
        summary: "Show the builder",
        load: () => import("./commands/builder/inspect.ts"),
      },
      ls: { summary: "List builders (there is one)", load: () => import("./commands/builder/ls.ts") },
      prune: pruneBuilds,
      version: {
        summary: "Show the version of what builds",
        load: () => import("./commands/builder/version.ts"),
      },
    },
  },
  image: {
    summary: "Manage images",
    children: {
      build,
      "build-deb": {
        summary: "Compose an image of Debian packages",
        load: () => import("./commands/image/build-deb.ts"),
      },
      history,
      import: importImage,
      inspect: {
        summary: "Show all that is known about images",
        load: () => import("./commands/image/inspect.ts"),
      },
      load,
      ls: images,
      prune: { summary: "Remove unused images", load: () => import("./commands/image/prune.ts") },
      pull,
      push,
      rm: {
        summary: "Remove images",
        load: () => import("./commands/image/rm.ts"),
        aliases: ["remove"],
        also: ["image rm", "image remove", "rmi"],
      },
      save,
      tag,
    },
  },
  network: {
    summary: "Manage networks",
    children: {
      connect: {
        summary: "Connect a container to a network",
        load: () => import("./commands/network/connect.ts"),
      },
      create: { summary: "Make a network", load: () => import("./commands/network/create.ts") },
      disconnect: {
        summary: "Disconnect a container from a network",
        load: () => import("./commands/network/disconnect.ts"),
      },
      inspect: {
        summary: "Show all that is known about networks",
        load: () => import("./commands/network/inspect.ts"),
      },
      ls: {
        summary: "List networks",
        load: () => import("./commands/network/ls.ts"),
        aliases: ["list"],
        also: ["network ls", "network list"],
      },
      prune: { summary: "Remove all unused networks", load: () => import("./commands/network/prune.ts") },
      rm: {
        summary: "Remove networks",
        load: () => import("./commands/network/rm.ts"),
        aliases: ["remove"],
        also: ["network rm", "network remove"],
      },
    },
  },
  system: {
    summary: "Manage the daemon",
    children: {
      df: { summary: "Show what uses the disk", load: () => import("./commands/system/df.ts") },
      events,
      info,
      prune: { summary: "Remove all that is unused", load: () => import("./commands/system/prune.ts") },
    },
  },
  checkpoint: {
    summary: "Manage checkpoints of containers",
    children: {
      create: {
        summary: "Save the processes of a running container",
        load: () => import("./commands/checkpoint/create.ts"),
      },
      ls: {
        summary: "List a container's checkpoints",
        load: () => import("./commands/checkpoint/ls.ts"),
        aliases: ["list"],
        also: ["checkpoint ls", "checkpoint list"],
      },
      rm: {
        summary: "Remove a checkpoint",
        load: () => import("./commands/checkpoint/rm.ts"),
        aliases: ["remove"],
        also: ["checkpoint rm", "checkpoint remove"],
      },
    },
  },
  volume: {
    summary: "Manage volumes",
    children: {
      create: { summary: "Make a volume", load: () => import("./commands/volume/create.ts") },
      inspect: {
        summary: "Show all that is known about volumes",
        load: () => import("./commands/volume/inspect.ts"),
      },
      ls: {
        summary: "List volumes",
        load: () => import("./commands/volume/ls.ts"),
        aliases: ["list"],
        also: ["volume ls", "volume list"],
      },
      prune: { summary: "Remove unused volumes", load: () => import("./commands/volume/prune.ts") },
      rm: {
        summary: "Remove volumes",
        load: () => import("./commands/volume/rm.ts"),
        aliases: ["remove"],
        also: ["volume rm", "volume remove"],
      },
    },
  },
  ...containerVerbs,
  completion: {
    summary: "Print a completion script for a shell",
    load: () => import("./commands/completion.ts"),
  },
  events,
  explain: {
    summary: "Explain the stack, or what a run would do",
    load: () => import("./commands/explain.ts"),
  },
  history,
  import: importImage,
  inspect: {
    summary: "Show all that is known about any object",
    load: () => import("./commands/system/inspect.ts"),
  },
  load,
  rmi: {
    summary: "Remove images",
    load: () => import("./commands/image/rm.ts"),
    also: ["image rm", "image remove", "rmi"],
  },
  save,
  tag,
};

/** Finds a group's verb by name or alias. */
export function childOf(group: Group, name: string): Node | undefined {
  if (Object.hasOwn(group.children, name)) return group.children[name];
  return Object.values(group.children).find((node) => node.aliases?.includes(name));
}

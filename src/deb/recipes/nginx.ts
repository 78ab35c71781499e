import { directory, regularFile, symlink } from "../layer-writer.ts";
import type { Recipe } from "./types.ts";

const page = "usr/share/nginx/html/index.html";

/** What nginx-common's script sets up: the default site, its page, log files (here: the container's output). */
export const nginxCommon: Recipe = {
  matches: (name) => name === "nginx-common",
  reads: (path) => path === page,
  additions(files, mtime) {
    const content = files.get(page);
    const target = "var/www/html/index.nginx-debian.html";
    return [
      { entry: directory("etc/nginx/sites-enabled", 0o755, mtime) },
      {
        entry: symlink("etc/nginx/sites-enabled/default", "/etc/nginx/sites-available/default", mtime),
      },
      { entry: directory("etc/nginx/modules-enabled", 0o755, mtime) },
      { entry: directory("var/log/nginx", 0o755, mtime) },
      { entry: symlink("var/log/nginx/access.log", "/dev/stdout", mtime) },
      { entry: symlink("var/log/nginx/error.log", "/dev/stderr", mtime) },
      { entry: directory("var/lib/nginx", 0o755, mtime) },
      ...(content ? [{ entry: regularFile(target, 0o644, mtime, content.length), body: content }] : []),
    ];
  },
};

/** Modules that others build on are loaded first, as their scripts number them. */
const early: ReadonlySet<string> = new Set(["mod-http-ndk.conf", "mod-stream.conf"]);
const available = /^usr\/share\/nginx\/modules-available\/(mod-[\w-]+\.conf)$/;

/** Modules are enabled by a link, which their scripts make. */
export const nginxModule: Recipe = {
  matches: (name) => name.startsWith("libnginx-mod-"),
  reads: (path) => available.test(path),
  additions: (files, mtime) =>
    [...files.keys()].sort().map((path) => {
      const name = available.exec(path)![1]!;
      const number = name.startsWith("mod-stream-") ? 70 : early.has(name) ? 10 : 50;
      return { entry: symlink(`etc/nginx/modules-enabled/${number}-${name}`, `/${path}`, mtime) };
    }),
};

export const nginx: Recipe = {
  matches: (name) => name === "nginx" || /^nginx-(light|core|full|extras)$/.test(name),
  program: {
    kind: "service",
    argv: ["/usr/sbin/nginx", "-g", "daemon off;"],
    exposedPorts: ["80/tcp"],
    stopSignal: "SIGQUIT",
  },
};

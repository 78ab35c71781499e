/** The table of recipes. A change in what one composes needs a new `composerVersion` (package-layer.ts). */
import { symlink } from "../layer-writer.ts";
import { busybox } from "./busybox.ts";
import { caCertificates } from "./ca-certificates.ts";
import { nginx, nginxCommon, nginxModule } from "./nginx.ts";
import type { Recipe } from "./types.ts";

export type { Addition, Program, Recipe } from "./types.ts";

const shell = (name: string, link = false): Recipe => ({
  matches: (other) => other === name,
  program: { kind: "shell", argv: [name] },
  // Without a shell of that name no script runs; dash and busybox bring theirs, bash does only this much.
  ...(link && {
    additions: (_: unknown, mtime: number) => [{ entry: symlink("usr/bin/sh", name, mtime) }],
    below: true,
  }),
});

/** The link that a script would have registered with update-alternatives, where there is only one sensible choice. */
const alternative = (matches: string, path: string, target: string): Recipe => ({
  matches: (name) => name === matches,
  additions: (_, mtime) => [{ entry: symlink(path, target, mtime) }],
});

const recipes: readonly Recipe[] = [
  busybox,
  nginx,
  nginxCommon,
  nginxModule,
  caCertificates,
  shell("bash", true),
  shell("dash"),
  shell("zsh"),
  shell("mksh"),
  alternative("mawk", "usr/bin/awk", "mawk"),
  alternative("gawk", "usr/bin/awk", "gawk"),
  alternative("vim-tiny", "usr/bin/vi", "vim.tiny"),
  alternative("netcat-openbsd", "usr/bin/nc", "nc.openbsd"),
  alternative("netcat-traditional", "usr/bin/nc", "nc.traditional"),
  alternative("nodejs", "usr/bin/js", "nodejs"),
];

export const recipesOf = (packageName: string): Recipe[] =>
  recipes.filter((recipe) => recipe.matches(packageName));

import type { Case } from "../case.ts";
import { add } from "./add.ts";
import { args } from "./args.ts";
import { cache } from "./cache.ts";
import { copy } from "./copy.ts";
import { errors } from "./errors.ts";
import { ignore } from "./ignore.ts";
import { language } from "./language.ts";
import { run } from "./run.ts";
import { settings } from "./settings.ts";

export const groups: Record<string, Case[]> = {
  language,
  "arguments and stages": args,
  settings,
  COPY: copy,
  ADD: add,
  RUN: run,
  ".dockerignore": ignore,
  errors,
  cache,
};

import type { Case } from "../case.ts";
import { args } from "./args.ts";
import { language } from "./language.ts";
import { settings } from "./settings.ts";

export const groups: Record<string, Case[]> = {
  language,
  "arguments and stages": args,
  settings,
};

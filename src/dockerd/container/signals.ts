import { constants } from "node:os";
import { invalid } from "../../base/errors.ts";

const byName = new Map<string, number>(Object.entries(constants.signals));
/** SIGRTMIN and SIGRTMAX as Docker counts them (glibc keeps two for itself). */
const rtMin = 34;
const rtMax = 64;

/** `9`, `KILL`, `SIGKILL`, `SIGRTMIN+3` → the number; throws Docker's text. */
export function parseSignal(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= rtMax) return number;
    throw invalid(`invalid signal: ${text}`);
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const found = byName.get(name);
  if (found !== undefined) return found;
  const realtime = /^SIGRTM(IN|AX)(?:([+-])(\d+))?$/.exec(name);
  if (realtime) {
    const offset = Number(realtime[3] ?? 0) * (realtime[2] === "-" ? -1 : 1);
    const number = (realtime[1] === "IN" ? rtMin : rtMax) + offset;
    if (number >= rtMin && number <= rtMax) return number;
  }
  throw invalid(`invalid signal: ${text}`);
}

/** Names and numbers that STOPSIGNAL accepts (moby/sys/signal on Linux). */

const names =
  "ABRT ALRM BUS CHLD CLD CONT FPE HUP ILL INT IO IOT KILL PIPE POLL PROF PWR QUIT SEGV STKFLT STOP SYS TERM TRAP " +
  "TSTP TTIN TTOU URG USR1 USR2 VTALRM WINCH XCPU XFSZ RTMIN RTMAX";
const known = new Set(names.split(" "));

/** A number but zero, or a name with or without `SIG`; real-time ones count from both ends. */
export function isSignal(text: string): boolean {
  if (/^[+-]?\d+$/.test(text)) return Number(text) !== 0;
  const name = text.toUpperCase().replace(/^SIG/, "");
  if (known.has(name)) return true;
  const relative = /^RTM(IN\+|AX-)(\d{1,2})$/.exec(name);
  if (relative === null) return false;
  const offset = Number(relative[2]);
  return offset >= 1 && offset <= (relative[1] === "IN+" ? 15 : 14);
}

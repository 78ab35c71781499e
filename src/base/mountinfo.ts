/** What propagation needs to know of a mount (proc_pid_mountinfo(5)). */
export interface HoldingMount {
  mountPoint: string;
  shared: boolean;
  slave: boolean;
}

/** The mount that holds a path, by the text of a mountinfo file: of equal ones the last, which lies on top. */
export function mountHolding(path: string, mountinfo: string): HoldingMount {
  let best = { mountPoint: "/", shared: false, slave: false };
  for (const line of mountinfo.split("\n")) {
    const [head = "", tail] = line.split(" - ");
    if (tail === undefined) continue;
    const fields = head.split(" ");
    const mountPoint = (fields[4] ?? "").replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    const within = mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
    if (!within || mountPoint.length < best.mountPoint.length) continue;
    const optional = fields.slice(6);
    best = {
      mountPoint,
      shared: optional.some((field) => field.startsWith("shared:")),
      slave: optional.some((field) => field.startsWith("master:")),
    };
  }
  return best;
}

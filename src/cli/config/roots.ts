/** Corten's directories; CORTEN_ROOT moves all of it, so that engines can run side by side. */
export function defaultRoots(): { dataRoot: string; execRoot: string; socket: string } {
  const root = process.env["CORTEN_ROOT"];
  const dataRoot = root ? `${root}/lib` : "/var/lib/corten";
  const execRoot = root ? `${root}/run` : "/run/corten";
  return { dataRoot, execRoot, socket: `${execRoot}/corten.sock` };
}

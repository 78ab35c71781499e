/** A mount as containerd describes it (api/types/mount.proto): options are mount(8)'s words. */
export interface Mount {
  type: string;
  source: string;
  /** A directory below the mount point, "" or absent for the mount point itself. */
  target?: string;
  options: string[];
}

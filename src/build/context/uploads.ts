import type { Contexts } from "../types.ts";

export interface UploadedContext extends Contexts {
  /** Removes the unpacked files. */
  close(): Promise<void>;
}

export interface Uploads {
  /**
   * Unpacks the body of `POST /build` (a tar: plain, gzip, bzip2, xz, zstd) as the context `context`. A body that is no
   * tar is taken as a Dockerfile, as the classic API does with remote files.
   */
  receive(
    body: AsyncIterable<Uint8Array>,
    options: { signal: AbortSignal; progress?: (bytes: number) => void },
  ): Promise<UploadedContext>;
}

/** Below `root` (services.root); what a killed daemon left there is removed at once. */
export declare function openUploads(root: string): Uploads;

/** The client's directories. */
export { combinedContexts } from "./combined.ts";
export { hostDirectories } from "./host.ts";
export { inlineFiles } from "./inline.ts";
export { openUploads, type UploadedContext, type UploadLimits, type Uploads } from "./uploads.ts";

/** The client's directories. */
export { hostDirectories } from "./host.ts";
export { inlineFiles } from "./inline.ts";
export { combinedContexts } from "./combined.ts";
export { openUploads, type UploadedContext, type Uploads } from "./uploads.ts";

import packageFile from "../../package.json";

/** containerd's version that the API follows, and ours. */
export const version = `1.7.0+corten.${packageFile.version}`;

/**
 * Parts of node: that a short-lived command may never need, loaded when they are first used. Each costs a start
 * 0.3 to 1.3 ms, which is much of a command of 10 ms; a static import pays that always.
 */
export const fs = () => require("node:fs") as typeof import("node:fs");
export const os = () => require("node:os") as typeof import("node:os");
export const path = () => require("node:path") as typeof import("node:path");
export const asyncHooks = () => require("node:async_hooks") as typeof import("node:async_hooks");

/** The last part of a path. */
export const basename = (text: string) => text.slice(text.lastIndexOf("/") + 1);

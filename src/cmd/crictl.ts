/** `corten crictl`: the debugging client for CRI servers. */
export { main } from "../crictl/main.ts";

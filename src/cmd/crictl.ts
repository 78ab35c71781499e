/** `corten crictl`: the program itself is src/crictl; all it says is written when it is done. */
import { main as run } from "../crictl/main.ts";

export async function main(argv: string[]): Promise<number> {
  // A terminal that is still being read would keep us: nobody waits for what is typed after the end.
  process.exit(await run(argv));
}

import { defineCommand } from "../../command.ts";
import { commit, productVersion } from "../../product.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: {},
  async run({ cli }) {
    cli.out.line(`corten ${productVersion} ${commit}`);
  },
});

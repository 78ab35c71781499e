import { defineCommand } from "../../command.ts";
import { eraseCredentials, hostOf } from "../../config/credentials.ts";

const hub = "https://index.docker.io/v1/";

export default defineCommand({
  usage: "[SERVER]",
  arguments: { max: 1 },
  flags: {},
  async run({ cli, args }) {
    const given = args[0] ? hostOf(args[0]) : "";
    const isHub = ["", "docker.io", "index.docker.io"].includes(given);
    const server = isHub ? hub : given;
    // Said before it is known whether there are any, as docker does: scripts match it.
    cli.out.line(`Removing login credentials for ${server}`);
    await eraseCredentials(cli.configDirectory, cli.config, server);
  },
});

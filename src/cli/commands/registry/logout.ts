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
    const known = await eraseCredentials(cli.configDirectory, cli.config, isHub ? hub : given);
    cli.out.line(
      known
        ? `Removing login credentials for ${isHub ? hub : given}`
        : `Not logged in to ${isHub ? hub : given}`,
    );
  },
});

import { join } from "node:path";
import { defineCommand } from "../../command.ts";
import { credentialsFor, hostOf, storeCredentials } from "../../config/credentials.ts";
import { StatusError } from "../../errors.ts";
import { bool, string } from "../../flags/flag.ts";

const hub = "https://index.docker.io/v1/";

export default defineCommand({
  usage: "[SERVER]",
  long: "Store credentials for a registry, Docker Hub unless another is named",
  arguments: { max: 1 },
  flags: {
    password: string("p", "Password or token"),
    "password-stdin": bool("", "Read the password from stdin"),
    username: string("u", "User name"),
  },
  async run({ cli, args, values }) {
    const server =
      !args[0] || ["docker.io", "index.docker.io", "registry-1.docker.io"].includes(hostOf(args[0]))
        ? hub
        : hostOf(args[0]);
    let { username, password } = values;
    if (values["password-stdin"]) {
      if (password !== "")
        throw new StatusError(1, "conflicting options: cannot specify both --password and --password-stdin");
      if (username === "")
        throw new StatusError(1, "the --password-stdin option requires --username to be set");
      password = (await new Response(Bun.stdin.stream()).text()).replace(/[\r\n]+$/, "");
    } else if (password !== "")
      cli.err.line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    if (username === "" && password === "") {
      const stored = await credentialsFor(cli.config, server);
      username = stored?.username ?? "";
      password = stored?.password ?? "";
      if (username !== "" && password !== "") {
        cli.err.line(`Authenticating with existing credentials... [Username: ${username}]`);
        cli.err.line(
          `\n Info -> To login with a different account, run '${cli.program} logout' followed by '${cli.program} login'\n\n`,
        );
      }
    }
    if (username === "" || password === "") {
      const { ask } = await import("../../streams/prompt.ts");
      if (!cli.stdinIsTerminal)
        throw new StatusError(1, "Error: Cannot perform an interactive login from a non TTY device");
      username ||= await ask(cli, "Username: ", false);
      password ||= await ask(cli, "Password: ", true);
    }
    const client = await cli.client();
    const auth = { username, password, serveraddress: server };
    const { Status, IdentityToken } = await client.system.auth(auth);
    const openly = await storeCredentials(cli.configDirectory, cli.config, {
      ...auth,
      ...(IdentityToken ? { identitytoken: IdentityToken, password: "" } : {}),
    });
    if (openly)
      cli.err.line(
        `\nWARNING! Your credentials are stored unencrypted in '${join(cli.configDirectory, "config.json")}'.\nConfigure a credential helper to remove this warning. See\nhttps://docs.docker.com/go/credential-store/\n`,
      );
    if (Status) cli.out.line(Status);
  },
});

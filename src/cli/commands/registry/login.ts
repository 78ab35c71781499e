import { join } from "node:path";
import { isCode, messageOf } from "../../../base/errors.ts";
import type { Cli } from "../../cli.ts";
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
  async run({ cli, args, values, changed }) {
    const server = serverOf(args[0] ?? "");
    const fail = (reason: string) => new StatusError(1, reason);
    if (values["password-stdin"] && changed.has("password"))
      throw fail("conflicting options: cannot specify both --password and --password-stdin");
    if (values["password-stdin"] && !changed.has("username"))
      throw fail("the --password-stdin option requires --username to be set");
    let { username, password } = values;
    if (changed.has("username") && username === "") throw fail("username is empty");
    if (changed.has("password") && password === "") throw fail("password is empty");
    if (values["password-stdin"])
      password = (await new Response(Bun.stdin.stream()).text()).replace(/\n$/, "").replace(/\r$/, "");
    else if (password !== "")
      cli.err.line("WARNING! Using --password via the CLI is insecure. Use --password-stdin.");
    let known = "";
    if (username === "" && password === "") {
      const stored = await credentialsFor(cli.config, server);
      known = stored?.username ?? "";
      if (stored?.username && stored.password) {
        const status = await withStored(cli, {
          username: stored.username,
          password: stored.password,
          server,
        });
        if (status !== undefined) return cli.out.line(status);
      }
    }
    if ((username === "" || password === "") && !cli.stdinIsTerminal)
      throw fail("Error: Cannot perform an interactive login from a non TTY device");
    if (username.trim() === "") username = await askUser(cli, server, known);
    if (password.trim() === "") password = await askPassword(cli, server);
    const status = await signIn(cli, { username: username.trim(), password: password.trim(), server });
    if (status !== "") cli.out.line(status);
  },
});

interface Account {
  username: string;
  password: string;
  server: string;
}

function serverOf(given: string): string {
  if (given === "" || ["docker.io", "index.docker.io", "registry-1.docker.io"].includes(hostOf(given)))
    return hub;
  return hostOf(given);
}

/** The daemon's word for it, and the credentials kept. */
async function signIn(cli: Cli, { username, password, server }: Account): Promise<string> {
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
  return Status;
}

/** Undefined when what is stored is not good any more; the user is asked then. */
async function withStored(cli: Cli, account: Account): Promise<string | undefined> {
  cli.err.line(`Authenticating with existing credentials... [Username: ${account.username}]`);
  note(cli, [
    `To login with a different account, run '${cli.program} logout' followed by '${cli.program} login'`,
  ]);
  cli.err.write("\n\n");
  try {
    return await signIn(cli, account);
  } catch (error) {
    cli.err.line(
      isCode(error, "unauthenticated")
        ? "Stored credentials invalid or expired"
        : `Login did not succeed, error: ${messageOf(error)}`,
    );
    return undefined;
  }
}

async function askUser(cli: Cli, server: string, known: string): Promise<string> {
  const { ask } = await import("../../streams/prompt.ts");
  if (server === hub) {
    cli.out.line(
      "Log in with your Docker ID or email address to push and pull images from Docker Hub. If you don't have a Docker ID, head over to https://hub.docker.com/ to create one.",
    );
    cli.out.line(
      "You can log in with your password or a Personal Access Token (PAT). Using a limited-scope PAT grants better security and is required for organizations using SSO. Learn more at https://docs.docker.com/go/access-tokens/\n",
    );
  }
  const given =
    (await ask(cli, known === "" ? "Username: " : `Username (${known}): `, false)).trim() || known;
  if (given === "") throw new StatusError(1, "Error: Non-null Username Required");
  return given;
}

async function askPassword(cli: Cli, server: string): Promise<string> {
  const { ask } = await import("../../streams/prompt.ts");
  if (server === hub) {
    const url = "https://app.docker.com/settings";
    note(cli, [
      "A Personal Access Token (PAT) can be used instead.",
      `To create a PAT, visit ${cli.err.isTerminal ? `\x1b[4m${url}\x1b[0m` : url}`,
      "",
      "",
    ]);
  }
  const given = (await ask(cli, "Password: ", true)).trim();
  if (given === "") throw new StatusError(1, "Error: Password Required");
  return given;
}

/** A hint as docker 28 decorates it: a badge, and italics on a terminal. */
function note(cli: Cli, lines: readonly string[]): void {
  const terminal = cli.err.isTerminal;
  cli.err.write(
    terminal ? "\n\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m" : "\n Info -> ",
  );
  const indent = " ".repeat(9);
  for (const [index, line] of lines.entries())
    cli.err.line(`${index > 0 ? indent : ""}${terminal ? `\x1b[3m${line}\x1b[0m` : line}`);
}

import { goQuote } from "../../cli/format/quote.ts";
import type { Call, VerbBody } from "../command.ts";
import { anyContainer, listContainers } from "../containers.ts";
import { all, doing, emptyId, RpcError } from "../errors.ts";
import { parseLabels } from "../filters.ts";
import { bool, int, string, strings } from "../flags.ts";
import { log } from "../log.ts";
import type { RuntimeConnection } from "../services.ts";
import { streamFlags, tlsOf } from "../streams/flags.ts";
import type { TlsOptions } from "../streams/upgrade.ts";

export const command: VerbBody = {
  argsUsage: "[CONTAINER-ID] COMMAND [ARG...]",
  description: `The CONTAINER-ID is only required if none of the following filter flags are set:
--image, --label, --last, --latest, --name, --pod, --state`,
  shortOptions: true,
  flags: [
    bool("sync,s", "Run the command synchronously"),
    int("timeout", "Timeout in seconds"),
    bool("tty,t", "Allocate a pseudo-TTY"),
    bool("interactive,i", "Keep STDIN open"),
    string("name", "Exec command for all containers matching this name filter regular expression pattern"),
    string("pod,p", "Exec command for all containers matching this pod ID filter"),
    string("image", "Exec command for all containers matching this container image filter"),
    string("state", "Exec command for all containers matching this container state filter"),
    strings("label", "Exec command for all containers matching this key=value label filter"),
    bool("latest,l", "Exec command for the most recently created container"),
    int("last,n", "Exec command for all last n containers, set to 0 for unlimited"),
    bool("quiet,q", "Do not print the container ID if multiple containers are selected"),
    bool("ignore-errors,e", "Ignore errors during command execution"),
    bool("parallel,x", "Run the command in parallel if multiple containers are selected"),
    ...streamFlags,
  ],
  async run(call) {
    const { flags } = call;
    if (call.args.length < 1) return call.help();
    const runtime = await call.runtime();
    const images = await call.images();
    const quiet = flags.is("quiet");
    if (flags.is("ignore-errors") && !quiet)
      log(
        "warning",
        "The `--ignore-errors` option has been set all errors returned by the command will be ignored.",
      );
    let [ids, words] = [call.args.slice(0, 1), call.args.slice(1)];
    const filtered = ["name", "pod", "image", "state", "label", "latest", "last"].some((one) =>
      flags.given(one),
    );
    if (filtered) {
      words = [...call.args];
      const labels = parseLabels(flags.list("label"));
      const found = await doing("listing containers", () =>
        listContainers(runtime, images, {
          ...anyContainer,
          name: flags.text("name"),
          pod: flags.text("pod"),
          image: flags.text("image"),
          state: flags.text("state"),
          labels,
          latest: flags.is("latest"),
          last: flags.number("last"),
        }),
      );
      ids = found.map(({ id }) => id);
      if (ids.length === 0) {
        log("error", "No containers found per filter flags");
        return call.help();
      }
    } else if (call.args.length < 2) return call.help();
    const tls = await tlsOf(call);
    const one = async (id: string) => {
      if (filtered && !quiet && !flags.is("parallel")) call.print(`${id}:\n`);
      if (flags.is("sync"))
        await doing(`execing command in container ${id} synchronously`, () =>
          execSync(call, runtime, id, words),
        );
      else await doing(`execing command in container ${id}`, () => exec(call, runtime, id, words, tls));
    };
    try {
      await all(ids.map((id) => () => one(id)));
    } catch (error) {
      if (!flags.is("ignore-errors")) throw error;
      log("debug", `Ignoring errors: ${(error as Error).message}`);
    }
  },
};

async function execSync(
  call: Call,
  runtime: RuntimeConnection,
  containerId: string,
  cmd: string[],
): Promise<void> {
  const seconds = call.flags.number("timeout");
  const request = { containerId, cmd, timeout: BigInt(seconds) };
  // A command without a time limit may take as long as it wants.
  const { stdout, stderr, exitCode } = await (seconds === 0
    ? runtime.unlimited((client, options) => client.execSync(request, options))
    : runtime.call((client, options) => client.execSync(request, options), runtime.timeout + seconds * 1000)
  ).catch((error) => {
    if (error instanceof RpcError && error.code === "DeadlineExceeded")
      throw new Error(`command timed out: ${goQuote(cmd.join(" "))} timed out after ${seconds}s`, {
        cause: error,
      });
    throw error;
  });
  if (exitCode !== 0)
    throw new Error(`command '${cmd.join(" ")}' exited with ${exitCode}: ${Buffer.from(stderr)}`);
  call.print(Buffer.concat([stdout, Buffer.from("\n"), stderr, Buffer.from("\n")]));
}

async function exec(
  call: Call,
  runtime: RuntimeConnection,
  containerId: string,
  cmd: string[],
  tls: TlsOptions,
): Promise<void> {
  if (containerId === "") throw emptyId();
  const [tty, stdin] = [call.flags.is("tty"), call.flags.is("interactive")];
  const { url } = await runtime.call((client, options) =>
    client.exec({ containerId, cmd, tty, stdin, stdout: true, stderr: !tty }, options),
  );
  if (url === "") throw new Error("URL is not set");
  const { runStream } = await import("../streams/session.ts");
  await runStream(call, { url, transport: call.flags.text("transport"), tls, tty, stdin });
}

import { isCode } from "../../../base/errors.ts";
import type { VersionResponse } from "../../../engine/types.ts";
import { defaultApiVersion } from "../../../engine/version.ts";
import { defineCommand } from "../../command.ts";
import { StatusError } from "../../errors.ts";
import { string } from "../../flags/flag.ts";
import { inspectFormatHelp } from "../../format/help.ts";
import { renderTyped } from "../../format/inspect.ts";
import { alignColumns } from "../../format/tabwriter.ts";
import { ansiDate } from "../../format/time.ts";
import { clientVersion } from "../../product.ts";
import { Template } from "../../template/execute.ts";
import { TemplateError } from "../../template/lex.ts";

export default defineCommand({
  usage: "",
  arguments: { max: 0 },
  flags: { format: string("f", inspectFormatHelp) },
  async run({ cli, values }) {
    let template: Template | undefined;
    try {
      if (values.format !== "")
        template = new Template(values.format === "json" ? "{{json .}}" : values.format, "version");
    } catch (error) {
      throw error instanceof TemplateError
        ? new StatusError(64, `template parsing error: ${error.message}`)
        : error;
    }
    let server: VersionResponse | null = null;
    let failure: unknown;
    let apiVersion = defaultApiVersion;
    try {
      const client = await cli.client();
      apiVersion = client.apiVersion;
      server = withEngine(await client.system.version());
    } catch (error) {
      failure = error;
    }
    const client = clientVersion(cli.context, apiVersion);
    const text = template
      ? `${renderTyped(template, { Client: client, Server: server })}\n`
      : pretty(client, server);
    cli.out.write(alignColumns(text, { minWidth: 20, padding: 1 }));
    if (failure !== undefined)
      throw isCode(failure, "unavailable") ? new StatusError(1, (failure as Error).message) : failure;
  },
});

/** Old daemons list no components: what they say of themselves is the engine's. */
function withEngine(server: VersionResponse): VersionResponse {
  const components = (server.Components ?? []).map((component) => ({
    ...component,
    Details:
      component.Name === "Engine" && component.Details?.["BuildTime"]
        ? { ...component.Details, BuildTime: ansiDate(component.Details["BuildTime"]) }
        : (component.Details ?? {}),
  }));
  if (!components.some(({ Name }) => Name === "Engine"))
    components.push({
      Name: "Engine",
      Version: server.Version,
      Details: {
        ApiVersion: server.ApiVersion,
        MinAPIVersion: server.MinAPIVersion ?? "",
        GitCommit: server.GitCommit,
        GoVersion: server.GoVersion,
        Os: server.Os,
        Arch: server.Arch,
        BuildTime: ansiDate(server.BuildTime ?? ""),
        Experimental: String(server.Experimental ?? false),
      },
    });
  return { ...server, Platform: server.Platform ?? { Name: "" }, Components: components };
}

function pretty(client: ReturnType<typeof clientVersion>, server: VersionResponse | null): string {
  const downgraded =
    client.ApiVersion === client.DefaultAPIVersion ? "" : ` (downgraded from ${client.DefaultAPIVersion})`;
  let out = `Client:
 Version:\t${client.Version}
 API version:\t${client.ApiVersion}${downgraded}
 Go version:\t${client.GoVersion}
 Git commit:\t${client.GitCommit}
 Built:\t${client.BuildTime}
 OS/Arch:\t${client.Os}/${client.Arch}
 Context:\t${client.Context}
`;
  if (!server) return out;
  out += `\nServer:${server.Platform?.Name ? ` ${server.Platform.Name}` : ""}\n`;
  for (const { Name, Version, Details = {} } of server.Components ?? []) {
    out += ` ${Name}:\n  Version:\t${Version}\n`;
    if (Name === "Engine")
      out += `  API version:\t${Details["ApiVersion"] ?? ""} (minimum version ${Details["MinAPIVersion"] ?? ""})
  Go version:\t${Details["GoVersion"] ?? ""}
  Git commit:\t${Details["GitCommit"] ?? ""}
  Built:\t${Details["BuildTime"] ?? ""}
  OS/Arch:\t${Details["Os"] ?? ""}/${Details["Arch"] ?? ""}
  Experimental:\t${Details["Experimental"] ?? ""}
`;
    else for (const key of Object.keys(Details).sort()) out += `  ${key}:\t${Details[key]}\n`;
  }
  return out;
}

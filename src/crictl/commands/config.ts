import { fs } from "../../base/lazy.ts";
import { goQuote } from "../../cli/format/quote.ts";
import type { VerbBody } from "../command.ts";
import {
  type ConfigOptions,
  emptyOptions,
  isOption,
  readConfig,
  setOption,
  writeConfig,
} from "../config-file.ts";
import { doing, wrap } from "../errors.ts";
import { bool, string, strings } from "../flags.ts";
import { log } from "../log.ts";
import { clearScreen, table } from "../output/table.ts";

export const command: VerbBody = {
  argsUsage: `[<crictl options>]

EXAMPLES:
   # Turn debugging output on
   crictl config --set debug=true

   # The same
   crictl config debug true

   # What is it?
   crictl config --get debug

   # All of it
   crictl config --list

CRICTL OPTIONS:
	 runtime-endpoint:	Container Runtime Interface (CRI) runtime endpoint (default: "")
	 image-endpoint:	Container Runtime Interface (CRI) image endpoint (default: "")
	 timeout:	Timeout of connecting to server (default: 2)
	 debug:	Enable debug output (default: false)
	 pull-image-on-create:	Enable pulling image on create requests (default: false)
	 disable-pull-on-run:	Disable pulling image on run requests (default: false)
	 max-retries:	Max retries for connecting to an explicitly set endpoint (default: 3, 0 to disable, negative for infinite)`,
  shortOptions: true,
  flags: [
    string("get", "Show the option value"),
    strings("set", "Set option (can specify multiple or separate values with commas: opt1=val1,opt2=val2)"),
    bool("list", "Show all option value"),
  ],
  async run(call) {
    const { flags } = call;
    const file = flags.text("config");
    if (!fs().existsSync(file)) writeConfig(file, { text: "", options: emptyOptions() });
    const config = await doing("load config file", () => readConfig(file));
    const { options } = config;
    if (flags.given("get")) {
      const name = flags.text("get");
      if (!isOption(name)) throw new Error(`no configuration option named ${name}`);
      return call.print(`${options[name]}\n`);
    }
    if (flags.given("set")) {
      for (const setting of flags.list("set")) {
        const pair = setting.split("=");
        if (pair.length !== 2) throw new Error(`incorrectly specified option: ${setting}`);
        set(options, pair[0]!, pair[1]!);
      }
      return writeConfig(file, config);
    }
    if (flags.is("list")) {
      const rows = Object.entries(options).map(([name, value]) => [name, String(value)]);
      return call.print(clearScreen + table([["KEY", "VALUE"], ...rows]));
    }
    const [name = "", value = ""] = call.args;
    if (name === "") return call.help();
    log(
      "info",
      `No --get, --set or --list provided, setting key ${goQuote(name)} to value ${goQuote(value)}`,
    );
    try {
      set(options, name, value);
    } catch (error) {
      throw wrap(`set ${goQuote(name)} to ${goQuote(value)}`, error);
    }
    writeConfig(file, config);
  },
};

function set(options: ConfigOptions, name: string, value: string): void {
  if (!isOption(name)) throw new Error(`no configuration option named ${name}`);
  try {
    setOption(options, name, value);
  } catch (error) {
    throw wrap(`parse ${name} value '${value}'`, error);
  }
}

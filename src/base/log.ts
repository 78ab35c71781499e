/** Logging in logrus' text or JSON shape, the one operators of dockerd and containerd know. Goes to stderr. */
export type Level = "debug" | "info" | "warn" | "error" | "fatal";
export type Fields = Record<string, string | number | boolean | undefined>;

/** The names that logrus knows, for flags and configurations. */
export const levelsByName: Readonly<Record<string, Level>> = {
  trace: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  fatal: "fatal",
  panic: "fatal",
};

const rank: Record<Level, number> = { debug: 0, info: 1, warn: 2, error: 3, fatal: 4 };

export interface LogSettings {
  level: Level;
  format: "text" | "json";
  write: (line: string) => void;
}

const settings: LogSettings = {
  level: "info",
  format: "text",
  write: (line) => void process.stderr.write(line),
};

/** Changes level, format or destination for the whole process. */
export function configureLog(change: Partial<LogSettings>): void {
  Object.assign(settings, change);
}

function emit(level: Level, message: string, fields: Fields): void {
  if (rank[level] < rank[settings.level]) return;
  const time = new Date().toISOString();
  if (settings.format === "json") {
    settings.write(`${JSON.stringify({ level, msg: message, time, ...fields })}\n`);
    return;
  }
  let line = `time=${JSON.stringify(time)} level=${level === "warn" ? "warning" : level} msg=${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const text = String(value);
    line += ` ${key}=${/^[\w./:@-]+$/.test(text) ? text : JSON.stringify(text)}`;
  }
  settings.write(`${line}\n`);
}

export const log = {
  debug: (message: string, fields: Fields = {}) => emit("debug", message, fields),
  info: (message: string, fields: Fields = {}) => emit("info", message, fields),
  warn: (message: string, fields: Fields = {}) => emit("warn", message, fields),
  error: (message: string, fields: Fields = {}) => emit("error", message, fields),
};

/** Annotations that a runtime is to see, by the patterns of its configuration. */
export function passedAnnotations(
  annotations: Readonly<Record<string, string>>,
  patterns: readonly string[] = [],
): Record<string, string> {
  const matchers = patterns.map(matcherOf);
  return Object.fromEntries(
    Object.entries(annotations).filter(([key]) => matchers.some((matches) => matches.test(key))),
  );
}

/** As Go's path.Match without its classes: `*` and `?` are for anything but a slash. */
function matcherOf(pattern: string): RegExp {
  const source = pattern.replace(/[.+^${}()|[\]\\]/g, "\\$&").replace(/\*+/g, "[^/]*");
  return new RegExp(`^${source.replaceAll("?", "[^/]")}$`, "s");
}

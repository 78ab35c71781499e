/** Labels and annotations of pods and containers as labels of the daemon's containers: dockershim's scheme. */

export const typeLabel = "io.kubernetes.docker.type";
export const sandboxType = "podsandbox";
export const containerType = "container";
export const sandboxIdLabel = "io.kubernetes.sandbox.id";
export const logPathLabel = "io.kubernetes.container.logpath";
/** Kubelet's own label of a container's name; the holder's is added here. */
export const containerNameLabel = "io.kubernetes.container.name";
const annotationPrefix = "annotation.";

const internal: ReadonlySet<string> = new Set([typeLabel, sandboxIdLabel, logPathLabel]);

/** The daemon has labels only: annotations are labels with a prefix. */
export const dockerLabels = (
  labels: Record<string, string>,
  annotations: Record<string, string>,
): Record<string, string> => ({
  ...labels,
  ...Object.fromEntries(Object.entries(annotations).map(([name, value]) => [annotationPrefix + name, value])),
});

/** The way back, without what was added here. */
export function criLabels(all: Record<string, string> | null | undefined): {
  labels: Record<string, string>;
  annotations: Record<string, string>;
} {
  const labels: Record<string, string> = {};
  const annotations: Record<string, string> = {};
  for (const [name, value] of Object.entries(all ?? {})) {
    if (internal.has(name)) continue;
    if (name === containerNameLabel && all![typeLabel] === sandboxType) continue;
    if (name.startsWith(annotationPrefix)) annotations[name.slice(annotationPrefix.length)] = value;
    else labels[name] = value;
  }
  return { labels, annotations };
}

/** A URL for messages and logs: without the password or token in it, as Docker shows it. */
export function redactUrl(url: string): string {
  return url.replace(/^([a-zA-Z][\w+.-]*:\/\/)([^/?#@]*)@/, (_all, scheme: string, user: string) =>
    user.includes(":") ? `${scheme}${user.slice(0, user.indexOf(":"))}:xxxxx@` : `${scheme}xxxxx@`,
  );
}

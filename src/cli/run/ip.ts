/** Is this text an IP address? (`node:net` would say so too, but costs 10 ms to load.) */
export function isIP(text: string): 0 | 4 | 6 {
  if (/^(25[0-5]|2[0-4]\d|1?\d?\d)(\.(25[0-5]|2[0-4]\d|1?\d?\d)){3}$/.test(text)) return 4;
  if (!/^[0-9a-fA-F:.]+$/.test(text) || !text.includes(":")) return 0;
  return URL.canParse(`http://[${text}]/`) ? 6 : 0;
}

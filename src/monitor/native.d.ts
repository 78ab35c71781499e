/** The static binary that `make native` builds; Bun embeds it and gives its path. */
declare module "*/corten-native" {
  const path: string;
  export default path;
}

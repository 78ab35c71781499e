/** What `make` put into dist/: embedded by path. */
declare module "*/corten-agent" {
  const path: string;
  export default path;
}

/** What `make` put into dist/: embedded by path. */
declare module "*/corten-shim" {
  const path: string;
  export default path;
}

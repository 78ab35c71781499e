# Run inside the VM by test/conformance/apparmor.test.ts: loads a profile of the user's own, starts a registry, and leaves the
# rest to the program.
set -u
mount -t securityfs securityfs /sys/kernel/security || exit 1
tar -C / -xf /apparmor.tar
mkdir /registry
tar -C /registry -xf /registry.tar
cat >/registry.yml <<'YAML'
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /registry}}
http: {addr: "127.0.0.1:5000"}
YAML
docker-registry serve /registry.yml </dev/null >/tmp/registry.log 2>&1 &
echo 'profile own flags=(attach_disconnected) { file, capability, network, umount, mount, signal, ptrace, deny /denied w, }' |
  /sbin/apparmor_parser -Kr || exit 1
BUN_BE_BUN=1 corten /guest.js && exit
dmesg | grep apparmor= | tail -n 20
exit 1

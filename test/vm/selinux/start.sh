# Run inside the VM by test/conformance/selinux.test.ts: loads the policy, starts a registry, and leaves the rest to the program.
set -u
mount -t selinuxfs selinuxfs /sys/fs/selinux || exit 1
# The kernel takes a policy in one write.
dd if=/policy of=/sys/fs/selinux/load bs=16M 2>/dev/null || exit 1
mkdir /registry
tar -C /registry -xf /registry.tar
cat >/registry.yml <<'YAML'
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: /registry}}
http: {addr: "127.0.0.1:5000"}
YAML
docker-registry serve /registry.yml </dev/null >/tmp/registry.log 2>&1 &
BUN_BE_BUN=1 corten /guest.js && exit
dmesg | grep avc: | tail -n 20
exit 1

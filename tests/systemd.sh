#!/bin/sh
# deploy/appliance.service under a systemd of its own: in namespaces, on a copy of this system that is gone afterwards. Needs root,
# systemd, the cgroup hierarchy of systemd (version 1 or hybrid), a built program, and a minute: sh tests/systemd.sh [PROGRAM]
set -eu
cd "$(dirname "$0")/.."
here=$PWD
program=$(realpath "${1:-target/debug/appliance}")
export here program
[ -x "$program" ] || { echo "no program at $program: cargo build --workspace"; exit 1; }
scratch=$(mktemp -d)
export scratch
group=/sys/fs/cgroup/systemd/unit-$$
mkdir "$group"
# What has run in there may take a moment to be gone.
clean() {
    for _ in $(seq 50); do
        find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        [ -e "$group" ] || break
        sleep 0.1
    done
    rm -rf "$scratch"
}
trap clean EXIT
trap 'exit 1' INT TERM
mkdir "$scratch/root" "$scratch/layers" "$scratch/out"
: > "$scratch/console"

cat > "$scratch/site.toml" <<'END'
[server]
user = "www-data"
[[listener]]
address = "127.0.0.1:80"
[app.web]
wsgi = "wsgi"
directory = "/srv/web"
workers = 1
user = "daemon"
[[site]]
app = "web"
END
cat > "$scratch/wsgi.py" <<'END'
import os
if not os.path.exists("/srv/database"):
    raise OSError("the database is not up")
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
END

# What happens in there; each line of its output begins with what is asked, and is compared below.
cat > "$scratch/script" <<'END'
ip link set lo up
state() { echo "$1: $(systemctl show --value -p ActiveState,ExecMainStatus appliance | sort | xargs) $(curl -s -m 5 http://127.0.0.1/)"; }
# until TEXT COMMAND...: the output is this, within half a minute.
until_is() {
    wanted=$1 && shift
    for _ in $(seq 300); do [ "$("$@" 2>/dev/null)" != "$wanted" ] || return 0; sleep 0.1; done
}
until_is 3 systemctl show --value -p ExecMainStatus appliance
echo "before the database: exit $(systemctl show --value -p ExecMainStatus appliance)"
touch /srv/database
until_is hello curl -s http://127.0.0.1/
state "with the database"
for title in proxy "worker web/0"; do
    pid=$(pgrep -f "^appliance: $title")
    echo "$title: $(grep -E '^(Uid|CapPrm|CapBnd|NoNewPrivs):' "/proc/$pid/status" | cut -f 2 | xargs)"
done
systemctl reload appliance && until_is active systemctl show --value -p ActiveState appliance && state "reloaded"
rm /srv/database
systemctl reload appliance || state "reload refused"
touch /srv/database
systemctl kill --kill-whom=main -s KILL appliance
until_is "" curl -s http://127.0.0.1/
until_is hello curl -s http://127.0.0.1/
state "killed"
echo "[[site" >> /etc/appliance/site.toml
systemctl restart appliance || true
# Longer than RestartSec.
sleep 4
state "bad configuration"
echo end
END

cat > "$scratch/boot" <<'END'
set -eu
root=$scratch/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$scratch/layers"
mkdir "$scratch/layers/upper" "$scratch/layers/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/layers/upper,workdir=$scratch/layers/work" "$root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
mkdir "$root/sys/fs/cgroup/systemd"
mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
for directory in run tmp dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$directory"; done
chmod 1777 "$root/tmp"
mkdir "$root/dev/shm" "$root/dev/pts" "$root/dev/mqueue"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
for node in null:1:3 zero:1:5 full:1:7 random:1:8 urandom:1:9 tty:5:0; do
    name=${node%%:*} numbers=${node#*:}
    mknod -m 666 "$root/dev/$name" c "${numbers%:*}" "${numbers#*:}"
done
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
: > "$root/dev/console"
mount --bind "$scratch/console" "$root/dev/console"
cp "$program" "$root/usr/local/bin/appliance"
rm -rf "$root/etc/systemd/system"
mkdir -p "$root/etc/systemd/system" "$root/etc/appliance" "$root/srv/web" "$root/out"
mount --bind "$scratch/out" "$root/out"
units=$root/etc/systemd/system
cp "$here/deploy/appliance.service" "$units"
cp "$scratch/site.toml" "$root/etc/appliance"
cp "$scratch/wsgi.py" "$root/srv/web"
cp "$scratch/script" "$root/script"
printf '[Unit]\nWants=appliance.service script.service\n' > "$units/test.target"
printf '[Unit]\nDescription=stands for a network\n' > "$units/network-online.target"
printf '[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\nExecStart=/bin/sh /script\nStandardOutput=file:/out/told\nStandardError=null\n' > "$units/script.service"
exec env -i container=lxc PATH=/usr/sbin:/usr/bin:/sbin:/bin chroot "$root" /lib/systemd/systemd --system --unit=test.target
END

(
    echo 0 > "$group/cgroup.procs"
    exec timeout -s KILL 150 unshare --mount --uts --net --ipc --cgroup --pid --fork --kill-child sh "$scratch/boot"
) > "$scratch/init" 2>&1 &
init=$!
for _ in $(seq 140); do
    if [ -e "$scratch/out/told" ] && grep -q "^end$" "$scratch/out/told"; then break; fi
    kill -0 "$init" 2>/dev/null || break
    sleep 1
done
# The one that the shell knows is `timeout`; its child ends with its own.
pkill -KILL -P "$init" 2>/dev/null || true
wait "$init" 2>/dev/null || true

cat > "$scratch/expected" <<'END'
before the database: exit 3
with the database: 0 active hello
proxy: 33 0000000000000000 0000000000000000 1
worker web/0: 1 0000000000000000 0000000000000000 1
reloaded: 0 active hello
reload refused: 0 active hello
killed: 0 active hello
bad configuration: 2 failed 
end
END
if diff "$scratch/expected" "$scratch/out/told"; then
    echo "the unit does what it says under $(systemctl --version | head -1)"
else
    cat "$scratch/init" "$scratch/console"
    exit 1
fi

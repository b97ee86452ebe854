#!/bin/sh
# What pid 1 of a simulated host does before it idles: takes its own disks, /run, /etc, /var, /dev, /sys and name.
# Arguments: the host's directory on the machine, its name. Says "ready" on standard output when all is done.
set -eu
directory=$1 name=$2

mount -t tmpfs -o mode=755,size=256m tmpfs /run
mkdir -p /run/lock /run/netns /run/lab /run/system
mount --bind "$directory" /run/lab   # reachable even if the project lies below /var, which is replaced below

# The system disk holds what this host changes in /etc and /var, and the daemon's state directory. The other one is
# for the pool. Both are real block devices with real file systems, so power loss and full disks can be had.
mount -o loop /run/lab/system.img /run/system
cd /run/system
for tree in etc var; do
    mkdir -p "$tree/upper" "$tree/work"
    mount -t overlay overlay -o "lowerdir=/$tree,upperdir=$tree/upper,workdir=$tree/work" "/$tree"
done
mkdir -p noded /var/lib/noded
mount --bind noded /var/lib/noded
mkdir -p /var/lib/noded/disks/d1
mount -o loop /run/lab/d1.img /var/lib/noded/disks/d1
mount --bind /run/lab/log /var/log
cp -R /run/lab/etc/. /etc/
cd /

# As the package has it (packaging/debian): QEMU's user reaches the sockets of its disks through a group.
# A power cut may have kept a lock and lost its removal; nothing else runs yet that could hold one.
rm -f /etc/passwd.lock /etc/group.lock /etc/shadow.lock /etc/gshadow.lock
groupadd --force --system noded
usermod --append --groups noded libvirt-qemu
install -d -m 710 -g noded /run/noded

# A /dev of its own, without kvm: a libvirtd that sees a /dev/kvm it may not use probes it for a minute.
mkdir /run/dev
mount -t tmpfs -o mode=755,size=16m tmpfs /run/dev
cd /run/dev
for node in null zero full random urandom tty fuse; do
    cp -a "/dev/$node" "$node"
    chmod 666 "$node"
done
cp -a /dev/loop-control loop-control
for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    mknod -m 660 "loop$number" b 7 "$number"
done
mkdir net pts shm
cp -a /dev/net/tun net/tun
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts pts
mount -t tmpfs -o size=256m tmpfs shm
ln -s pts/ptmx ptmx
ln -s /proc/self/fd fd
cd /
mount --rbind /run/dev /dev

mount -t sysfs sysfs /sys
hostname "$name"
ip link set lo up
echo ready
# SIGCHLD ignored: the kernel reaps what daemons leave behind, since this process never waits for anybody.
exec env --ignore-signal=CHLD sleep infinity >/dev/null

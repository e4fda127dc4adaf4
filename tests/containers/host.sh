#!/usr/bin/env bash
# Tests of containers/check-host.sh with planted addresses, routes, files and hardware. As root, one more test runs
# in a network namespace with real addresses.
#
#   tests/containers/host.sh
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
check=$(realpath "$here/../../containers/check-host.sh")
plants=$(mktemp -d)
trap 'rm -rf "$plants"' EXIT
passed=0 failed=0

# Plants a host that uses nothing of the subnet: it has a zeroconf route and the bridge of another network.
plant() {
    rm -rf "${plants:?}"/*
    mkdir -p "$plants"/{bin,etc,sys/class/dmi/id}
    cat >"$plants/addresses" <<'END'
1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
2: eth0    inet 10.0.0.4/24 brd 10.0.0.255 scope global eth0\       valid_lft forever preferred_lft forever
3: docker0    inet 172.17.0.1/16 scope global docker0\       valid_lft forever preferred_lft forever
END
    cat >"$plants/routes" <<'END'
default via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.4 metric 100
10.0.0.0/24 dev eth0 proto kernel scope link src 10.0.0.4
169.254.0.0/16 dev eth0 scope link metric 1000
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1
local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.1
END
    echo '3: docker0: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP mode DEFAULT' >"$plants/bridges"
    echo 'nameserver 10.0.0.2' >"$plants/etc/resolv.conf"
    echo 'QEMU' >"$plants/sys/class/dmi/id/sys_vendor"
    cat >"$plants/bin/ip" <<END
#!/bin/sh
case "\$*" in
    '-o link show type bridge') cat "$plants/bridges" ;;
    '-o -4 address show') cat "$plants/addresses" ;;
    '-4 route show table all') cat "$plants/routes" ;;
    *) echo "ip \$* is not planted" >&2 && exit 9 ;;
esac
END
    chmod +x "$plants/bin/ip"
}

# Writes a line to a planted file.
with() {
    mkdir -p "$(dirname "$plants/$1")"
    echo "$2" >>"$plants/$1"
}

# Runs the check and compares its exit code and its output, which must hold a text.
expect() {
    local sentence=$1 code=0 output
    output=$(PATH=${path:-$plants/bin:$PATH} "${run[@]}" "$check" --root "$plants" 2>&1) || code=$?
    if ((code == $2)) && [[ $output == *"$3"* ]]; then
        passed=$((passed + 1))
        echo "ok: $sentence"
    else
        failed=$((failed + 1))
        echo "not ok: $sentence: exit code $code: $output"
    fi
}
run=()
fix='docker compose -f compose.subnet.yaml up'

plant
expect "a host that uses nothing of the subnet passes" 0 "ok: nothing on this machine"

plant
with addresses '1: lo    inet 169.254.169.254/32 scope global lo\       valid_lft forever preferred_lft forever'
expect "an address of the host is named" 1 "  the address 169.254.169.254/32 of lo"
expect "a refusal names the ordinary subnet" 1 "$fix"

plant
with routes '169.254.169.254 via 10.0.0.1 dev eth0 proto dhcp src 10.0.0.4 metric 100'
expect "a route to the metadata of a cloud is named" 1 "  the route 169.254.169.254 via 10.0.0.1 dev eth0"

plant
with etc/resolv.conf 'nameserver 169.254.169.253'
expect "a name server is named with its file" 1 "  the name server 169.254.169.253 in /etc/resolv.conf"

plant
with etc/chrony/sources.d/cloud.sources 'server 169.254.169.123 prefer iburst minpoll 4 maxpoll 4'
expect "a time server is named with its file" 1 \
    "  the time server 169.254.169.123 in /etc/chrony/sources.d/cloud.sources"

plant
with etc/chrony.conf '# server 169.254.169.123 prefer iburst'
with etc/systemd/timesyncd.conf '#NTP=169.254.169.254'
expect "a comment is no time server" 0 "ok: nothing on this machine"

plant
with etc/systemd/timesyncd.conf 'NTP=169.254.169.254'
expect "a time server of systemd is named" 1 "  the time server 169.254.169.254 in /etc/systemd/timesyncd.conf"

for cloud in 'sys_vendor=Amazon EC2=Amazon EC2' 'sys_vendor=DigitalOcean=DigitalOcean' \
    'product_name=Google Compute Engine=Google Compute Engine' 'bios_version=4.11.amazon=Amazon EC2' \
    'sys_vendor=UpCloud=UpCloud' 'chassis_vendor=IBM:Cloud Compute Server 1.0:bx2-2x8=IBM Cloud' \
    'chassis_asset_tag=7783-7084-3265-9085-8269-3286-77=Azure' 'chassis_asset_tag=OracleCloud.com=Oracle Cloud' \
    'chassis_asset_tag=HUAWEICLOUD=Huawei Cloud' 'chassis_asset_tag=OpenStack Nova=OpenStack Nova'; do
    IFS='=' read -r file value name <<<"$cloud"
    plant
    echo "$value" >"$plants/sys/class/dmi/id/$file"
    expect "a virtual machine of $name is known by $file" 1 "  the hardware, a virtual machine of $name"
done

plant
with bridges '7: br-4711: <BROADCAST,MULTICAST,UP> mtu 1500 qdisc noqueue state UP mode DEFAULT'
with addresses '7: br-4711    inet 169.254.169.1/24 brd 169.254.169.255 scope global br-4711\       valid_lft forever'
with routes '169.254.169.0/24 dev br-4711 proto kernel scope link src 169.254.169.1'
expect "the network of an earlier start is no obstacle" 0 "ok: nothing on this machine"
with routes '169.254.169.254 via 10.0.0.1 dev br-4711'
expect "a route to the metadata through a bridge is one" 1 "  the route 169.254.169.254 via 10.0.0.1 dev br-4711"

plant
rm "$plants/bin/ip"
for tool in cat uname; do
    ln -s "$(command -v "$tool")" "$plants/bin/$tool"
done
path=$plants/bin
run=(/bin/sh)
expect "without ip nothing is known" 2 "install iproute2"
unset path

# Real addresses, which no other program sees.
plant
rm "$plants/bin/ip"
if ((EUID == 0)) && command -v ip >/dev/null && unshare --net true 2>/dev/null; then
    run=(unshare --net)
    expect "a network namespace without addresses passes" 0 "ok: nothing on this machine"
    # shellcheck disable=SC2016 # the inner shell expands
    run=(unshare --net sh -c 'ip link set lo up && ip address add 169.254.169.254/32 dev lo && exec "$@"' sh)
    expect "an address of a network namespace is named" 1 "  the address 169.254.169.254/32 of lo"
else
    echo "SKIPPED: a network namespace needs root, ip and unshare"
fi

echo "$passed passed, $failed failed"
((failed == 0))

#!/bin/sh
# Tells whether containers may have the subnet 169.254.169.0/24 on this machine. Run it before `docker compose up`.
#
#   containers/check-host.sh [--root DIR]
#
# A virtual machine of a cloud asks 169.254.169.x itself: for its metadata, in some clouds also for host names and
# the time. A network of containers with this subnet would take these addresses away from it. The check sends
# nothing: it reads addresses, routes, settings and the name of the hardware.
#
# DIR is the root of the files [default: /]. Exit codes: 0 the subnet is free; 1 it is in use, and the reasons are
# printed; 2 this cannot be told.
set -eu

root=
while [ $# -gt 0 ]; do
    case $1 in
        --root) root=${2:?--root needs a folder} && shift 2 ;;
        *) echo "error: unknown argument $1; use --root DIR" >&2 && exit 2 ;;
    esac
done

# The network of an earlier start has a bridge, with its gateway and its route.
is_own_network() {
    case $1 in 169.254.169.0/24 | 169.254.169.1/24) ;; *) return 1 ;; esac
    for bridge in $bridges; do
        [ "$bridge" != "$2" ] || return 0
    done
    return 1
}

addresses() {
    ip -o -4 address show | while read -r _ device _ address _; do
        case $address in
            169.254.169.*) is_own_network "$address" "$device" || echo "the address $address of $device" ;;
        esac
    done
}

routes() {
    ip -4 route show table all | while read -r destination rest; do
        device=${rest#*dev }
        case $destination in
            169.254.169.*) is_own_network "$destination" "${device%% *}" || echo "the route $destination $rest" ;;
        esac
    done
}

# Prints `$1 ADDRESS in FILE` for the addresses of the subnet in the files $3 and following, in lines that begin
# with $2 and are no comments.
settings() {
    what=$1 begin=$2
    shift 2
    for file in "$@"; do
        [ ! -f "$file" ] || [ ! -r "$file" ] ||
            sed -n "s|^[[:space:]]*${begin}[^#;]*\(169\.254\.169\.[0-9]*\).*|$what \1 in ${file#"$root"}|p" "$file"
    done
}

hardware() {
    [ ! -r "$root/sys/class/dmi/id/$1" ] || cat "$root/sys/class/dmi/id/$1"
}

# Names the cloud of this machine, if its metadata is at 169.254.169.254. Its route is often just the default one.
cloud() {
    vendor=$(hardware sys_vendor) name=
    case $vendor in
        '3DS Outscale' | Akamai | 'Amazon EC2' | DigitalOcean | Exoscale | Google | Hetzner | Linode | NWCS | \
            'OpenStack Foundation' | UpCloud | Vultr)
            name=$vendor
            ;;
    esac
    case $(hardware product_name) in 'Google Compute Engine' | OpenStack*) name=$(hardware product_name) ;; esac
    case $(hardware bios_version) in *amazon*) name='Amazon EC2' ;; esac
    # A virtual private cloud of IBM adds the profile of the machine.
    case $(hardware chassis_vendor) in 'IBM:Cloud Compute Server'*) name='IBM Cloud' ;; esac
    case $(hardware chassis_asset_tag) in
        7783-7084-3265-9085-8269-3286-77) name=Azure ;;
        HUAWEICLOUD) name='Huawei Cloud' ;;
        OpenStack* | OpenTelekomCloud | 'SAP CCloud VM') name=$(hardware chassis_asset_tag) ;;
        OracleCloud.com) name='Oracle Cloud' ;;
    esac
    [ -z "$name" ] || echo "the hardware, a virtual machine of $name"
}

reasons() {
    addresses
    routes
    settings 'the name server' nameserver "$root/etc/resolv.conf" "$root/run/systemd/resolve/resolv.conf"
    settings 'the time server' '' "$root/etc/chrony.conf" "$root"/etc/chrony/*.conf "$root"/etc/chrony/*.d/* \
        "$root"/etc/chrony.d/* "$root"/run/chrony.d/* "$root/etc/ntp.conf" "$root/etc/ntpsec/ntp.conf" \
        "$root/etc/systemd/timesyncd.conf" "$root"/etc/systemd/timesyncd.conf.d/*
    cloud
}

if [ "$(uname -s)" != Linux ]; then
    echo "ok: on $(uname -s), containers run in a virtual machine with a network of its own"
    exit 0
fi
if ! command -v ip >/dev/null; then
    echo "error: the addresses of this machine cannot be read without \`ip\`; install iproute2" >&2
    exit 2
fi
bridges=$(ip -o link show type bridge | sed 's/^[0-9]*: *\([^:@]*\).*/\1/')
found=$(reasons)
if [ -z "$found" ]; then
    echo "ok: nothing on this machine uses 169.254.169.x"
    exit 0
fi
{
    echo "error: this machine uses 169.254.169.x itself, and containers with this subnet would cut it off:"
    echo "$found" | sort -u | sed 's/^/  /'
    echo "fix: use the ordinary subnet: docker compose -f compose.subnet.yaml up --build"
} >&2
exit 1

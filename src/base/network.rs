//! The network of this machine, as `/proc` shows it: its gateways, its addresses, and the holders of ports.
//!
//! Everything here is best effort. Where `/proc` is missing or unreadable, nothing is known.

use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

/// Returns the gateways of the default routes. Connections that a gateway forwards by a published port often
/// come from its address.
pub(crate) fn default_gateways() -> Vec<IpAddr> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let v4 = gateways_v4(&read("/proc/net/route"));
    v4.into_iter().chain(gateways_v6(&read("/proc/net/ipv6_route"))).collect()
}

/// Reads `/proc/net/route`: a header, then `Iface Destination Gateway ...`. Addresses are hexadecimal numbers
/// whose bytes in memory are in network order.
fn gateways_v4(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (destination, gateway) = (word(fields.next()?)?, word(fields.next()?)?);
        (destination == 0 && gateway != 0).then(|| IpAddr::V4(gateway.to_ne_bytes().into()))
    };
    distinct(table.lines().skip(1).filter_map(gateway))
}

/// Reads `/proc/net/ipv6_route`: destination, its prefix length, source, its prefix length, next hop, and
/// more. Addresses are 32 hexadecimal digits.
fn gateways_v6(table: &str) -> Vec<IpAddr> {
    let gateway = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, length, _, _, hop, ..] = fields.as_slice() else { return None };
        let hop = u128::from_str_radix(hop, 16).ok()?;
        (*length == "00" && hop != 0).then(|| IpAddr::V6(Ipv6Addr::from(hop)))
    };
    distinct(table.lines().filter_map(gateway))
}

fn distinct(addresses: impl Iterator<Item = IpAddr>) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = addresses.collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn word(hex: &str) -> Option<u32> {
    u32::from_str_radix(hex, 16).ok()
}

/// Returns the addresses of this machine that other machines may reach, with the names of their network
/// devices.
#[cfg(target_os = "linux")]
pub(crate) fn outer_addresses() -> Vec<(IpAddr, String)> {
    let Ok(interfaces) = nix::ifaddrs::getifaddrs() else { return Vec::new() };
    let outer = interfaces.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|own| IpAddr::V4(own.ip()));
        let ip = v4.or_else(|| address.as_sockaddr_in6().map(|own| IpAddr::V6(own.ip())))?;
        let is_outer = match ip {
            IpAddr::V4(ip) => !ip.is_loopback(),
            // A link-local address needs a zone, which no URL here has.
            IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
        };
        is_outer.then_some((ip, interface.interface_name))
    });
    outer.collect()
}

/// Returns nothing: the addresses are not known on this platform.
#[cfg(not(target_os = "linux"))]
pub(crate) fn outer_addresses() -> Vec<(IpAddr, String)> {
    Vec::new()
}

/// A process that listens on a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pid: u32,
    /// Name of its program, at most 15 characters.
    name: String,
}

impl Holder {
    /// Returns true if it is this process.
    pub(crate) fn is_this_process(&self) -> bool {
        self.pid == std::process::id()
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, process {}", self.name, self.pid)
    }
}

/// A listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Listening {
    address: SocketAddr,
    user: u32,
    inode: u64,
}

/// Returns the process that keeps others from listening on `addr`, if this user may see it.
pub(crate) fn holder_of(addr: SocketAddr) -> Option<Holder> {
    let inode = listening_on(addr)?.inode;
    let link = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut found = processes.filter_map(|process| {
        let pid: u32 = process.file_name().to_str()?.parse().ok()?;
        holds(&process.path(), &link).then_some((pid, process.path()))
    });
    let (pid, path) = found.next()?;
    let name = fs::read_to_string(path.join("comm")).ok()?;
    Some(Holder { pid, name: name.trim().to_owned() })
}

/// Returns the user of the process that listens on `addr`.
pub(crate) fn listening_user(addr: SocketAddr) -> Option<u32> {
    Some(listening_on(addr)?.user)
}

/// Returns true if the process has this open file.
fn holds(process: &Path, link: &str) -> bool {
    let Ok(files) = fs::read_dir(process.join("fd")) else { return false };
    let mut links = files.flatten().filter_map(|file| fs::read_link(file.path()).ok());
    links.any(|own| own.as_os_str() == link)
}

fn listening_on(addr: SocketAddr) -> Option<Listening> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
    let tables = tables.map(|path| fs::read_to_string(path).unwrap_or_default());
    let mut all = tables.iter().flat_map(|table| table.lines().filter_map(listening));
    all.find(|one| collide(one.address, addr))
}

/// Returns true if no two sockets can listen on both addresses.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let [a, b] = [one, other].map(|addr| addr.ip().to_canonical());
    let same_ip = a == b || a.is_unspecified() || b.is_unspecified();
    one.port() == other.port() && same_ip
}

/// Reads a line of `/proc/net/tcp` or `/proc/net/tcp6`: number, local address, remote address, state, queues,
/// timer, retransmissions, user, timeout, inode, and more (proc(5)). State `0A` is listening.
fn listening(line: &str) -> Option<Listening> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, "0A", _, _, _, user, _, inode, ..] = fields.as_slice() else { return None };
    let (ip, port) = local.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = SocketAddr::new(socket_ip(ip)?, port);
    Some(Listening { address, user: user.parse().ok()?, inode: inode.parse().ok()? })
}

/// Reads an address of one or four hexadecimal numbers whose bytes in memory are in network order.
fn socket_ip(hex: &str) -> Option<IpAddr> {
    let part = |at: usize| Some(word(hex.get(at * 8..at * 8 + 8)?)?.to_ne_bytes());
    match hex.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(part(0)?))),
        32 => {
            let bytes = [part(0)?, part(1)?, part(2)?, part(3)?].concat();
            let bytes: [u8; 16] = bytes.try_into().ok()?;
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn the_gateways_of_default_routes_are_known() {
        let v4 = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n\
                  eth0\t00000000\t0101580A\t0003\t0\t0\t0\t00000000\n\
                  eth0\t0001580A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n";
        assert_eq!(gateways_v4(v4), ["10.88.1.1".parse::<IpAddr>().unwrap()]);
        let v6 = "00000000000000000000000000000000 00 00000000000000000000000000000000 00 \
                  fd000000000000000000000000000001 00000400 00000001 00000000 00000003 eth0\n\
                  fd000000000000000000000000000000 40 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 00000100 00000001 00000000 00000001 eth0\n";
        assert_eq!(gateways_v6(v6), ["fd00::1".parse::<IpAddr>().unwrap()]);
        assert!(gateways_v4("").is_empty() && gateways_v4("Iface\nx y z").is_empty());
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_holder_of_a_port_is_named() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let everywhere = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
        for taken in [address, everywhere] {
            let holder = holder_of(taken).unwrap();
            assert_eq!(holder.pid, std::process::id());
            let said = holder.to_string();
            assert!(said.ends_with(&format!(", process {}", std::process::id())), "{said}");
        }
        assert_eq!(listening_user(address), Some(rustix::process::geteuid().as_raw()));
        drop(listener);
        assert_eq!(holder_of(address), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn listeners_are_read_from_both_tables() {
        let v4 = "   0: 0100007F:1FE9 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1";
        let own = listening(v4).unwrap();
        let address = "127.0.0.1:8169".parse().unwrap();
        assert_eq!(own, Listening { address, user: 1000, inode: 4711 });
        let v6 = "   0: 00000000000000000000000001000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 12 1";
        assert_eq!(listening(v6).unwrap().address, "[::1]:80".parse().unwrap());
        assert_eq!(listening(&v4.replace(" 0A ", " 01 ")), None);
        assert_eq!(listening("sl local_address"), None);
    }
}

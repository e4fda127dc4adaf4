//! Place of the process that serves an address: on this machine or elsewhere.
//!
//! A process on this machine is found by its listening socket. Folders of the kernel are arguments,
//! so that tests need no real machine.

use std::fs::{read_dir, read_link, read_to_string};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;

use super::scheduling::{field_of_stat, numbers};

/// Folder of the kernel's view of network devices.
pub const NETWORK_DEVICES: &str = "/sys/class/net";

/// Place of the process that serves an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Another machine, reached through a network card.
    Elsewhere,
    /// This machine: the numbers of the processes that hold the listening socket, and of their
    /// children.
    Here(Vec<u32>),
    /// Perhaps this machine: the process may belong to another user, or to a container.
    Unknown,
}

impl Place {
    /// Finds the process that serves `address`.
    pub fn of(proc: &Path, devices: &Path, address: SocketAddr) -> Self {
        if is_own(address) {
            Self::behind(proc, address)
        } else {
            Self::reached(proc, devices, address)
        }
    }

    /// Returns the place of a process at an address of another machine, or of a container.
    fn reached(proc: &Path, devices: &Path, address: SocketAddr) -> Self {
        let card = device_to(proc, address.ip()).map(|name| devices.join(name).join("device"));
        // A bridge or a tunnel has no card behind it, and may lead back to this machine.
        if card.is_some_and(|card| card.exists()) { Self::Elsewhere } else { Self::Unknown }
    }

    /// Returns the place of a process at an address of this machine.
    fn behind(proc: &Path, address: SocketAddr) -> Self {
        let sockets = listening(proc, address);
        let holders = holders(proc, &sockets);
        if holders.is_empty() { Self::Unknown } else { Self::Here(with_children(proc, holders)) }
    }
}

/// Processes of a target on this machine, while it starts and ends others.
#[derive(Clone, Debug)]
pub struct Processes {
    pids: Vec<u32>,
    /// Number of the newest process or thread of the machine at the last look.
    newest: Option<u32>,
}

impl Processes {
    /// Creates the value for processes that are known.
    pub const fn new(pids: Vec<u32>) -> Self {
        Self { pids, newest: None }
    }

    /// Returns the numbers of the processes at the last look.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Forgets processes that have ended, and finds children that were started since the last look.
    ///
    /// A look at all processes of the machine takes a core for milliseconds. It is left out if the kernel has started
    /// none since.
    pub fn look(&mut self, proc: &Path) {
        self.pids.retain(|pid| proc.join(pid.to_string()).exists());
        let newest = newest(proc);
        if newest.is_none() || newest != self.newest {
            self.newest = newest;
            self.pids = with_children(proc, std::mem::take(&mut self.pids));
        }
    }
}

/// Returns the number of the process or thread that was started last, by `/proc/loadavg` (proc(5)).
fn newest(proc: &Path) -> Option<u32> {
    let load = read_to_string(proc.join("loadavg")).ok()?;
    load.split_ascii_whitespace().next_back()?.parse().ok()
}

/// Returns true if the address is one of this machine. Nothing is sent.
fn is_own(address: SocketAddr) -> bool {
    let any: IpAddr = match address.ip() {
        ip if ip.is_loopback() || ip.is_unspecified() => return true,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    // The kernel sends from the address itself only if the way stays on this machine.
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect(address)?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address.ip())
}

/// Returns the name of the device through which an IPv4 address is reached.
fn device_to(proc: &Path, ip: IpAddr) -> Option<String> {
    let IpAddr::V4(ip) = ip else { return None };
    let table = read_to_string(proc.join("net/route")).ok()?;
    let routes = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok();
        // In the order of bytes on the network, as the kernel holds them.
        let (to, mask) = (number(1)?, number(7)?);
        let leads = u32::from_ne_bytes(ip.octets()) & mask == to;
        leads.then(|| Some((mask.count_ones(), (*fields.first()?).to_owned())))?
    });
    routes.max_by_key(|(bits, _)| *bits).map(|(_, device)| device)
}

/// Returns the inodes of the sockets that listen at `address`.
fn listening(proc: &Path, address: SocketAddr) -> Vec<String> {
    let tables = ["net/tcp", "net/tcp6"].map(|name| read_to_string(proc.join(name)));
    let lines = tables.iter().flatten().flat_map(|table| table.lines().skip(1));
    lines.filter_map(|line| listener(line, address)).collect()
}

/// Returns the inode of a line of `/proc/net/tcp`, if it is of a socket that listens at `address`.
fn listener(line: &str, address: SocketAddr) -> Option<String> {
    /// State of a listening socket.
    const LISTEN: &str = "0A";
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let state = *fields.get(3)?;
    let ip = parse_ip(ip)?;
    let serves = ip == address.ip().to_canonical()
        || ip.is_unspecified() && (ip.is_ipv6() || address.is_ipv4())
        || address.ip().is_unspecified();
    let is_it = state == LISTEN && u16::from_str_radix(port, 16) == Ok(address.port()) && serves;
    is_it.then(|| fields.get(9).map(|inode| (*inode).to_owned()))?
}

/// Parses an address in the form of the kernel: words of 32 bits, each in the machine's order.
fn parse_ip(text: &str) -> Option<IpAddr> {
    let words = (0..text.len()).step_by(8).map(|at| {
        let word = text.get(at..at + 8)?;
        Some(u32::from_str_radix(word, 16).ok()?.to_ne_bytes())
    });
    let bytes: Vec<u8> = words.collect::<Option<Vec<_>>>()?.concat();
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(bytes.into());
    }
    let bytes = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(IpAddr::from(bytes).to_canonical())
}

/// Returns the processes that hold one of these sockets, as far as this user may see them.
fn holders(proc: &Path, inodes: &[String]) -> Vec<u32> {
    let names: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let holds = |pid: &u32| {
        let files = read_dir(proc.join(format!("{pid}/fd"))).into_iter().flatten().flatten();
        let links = files.filter_map(|file| read_link(file.path()).ok());
        links.into_iter().any(|link| names.iter().any(|name| link.as_os_str() == name.as_str()))
    };
    if names.is_empty() { Vec::new() } else { numbers(proc).into_iter().filter(holds).collect() }
}

/// Adds the children of processes, and their children.
fn with_children(proc: &Path, mut pids: Vec<u32>) -> Vec<u32> {
    let parent = |pid: u32| {
        let stat = read_to_string(proc.join(format!("{pid}/stat"))).ok()?;
        Some((pid, field_of_stat::<u32>(&stat, 1)?))
    };
    let all: Vec<(u32, u32)> = numbers(proc).into_iter().filter_map(parent).collect();
    loop {
        let is_new = |(pid, parent): &&(u32, u32)| pids.contains(parent) && !pids.contains(pid);
        let more: Vec<u32> = all.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if more.is_empty() {
            return pids;
        }
        pids.extend(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, remove_dir_all, write};
    use std::net::TcpListener;
    use std::os::unix::fs::symlink;

    const HEAD: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn plant(proc: &Path, pid: u32, parent: u32, link: &str) {
        let files = proc.join(format!("{pid}/fd"));
        create_dir_all(&files).unwrap();
        write(proc.join(format!("{pid}/stat")), format!("{pid} (x y) S {parent} 1")).unwrap();
        symlink(link, files.join("3")).unwrap();
    }

    fn socket(local: &str, state: &str, inode: u32) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000  1000        0 {inode} 1 0\n"
        )
    }

    #[test]
    fn the_holder_of_the_listening_socket_and_its_children_are_found() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path();
        create_dir_all(proc.join("net")).unwrap();
        // 127.0.0.1:8080 connected, 127.0.0.1:8080 listening, 10.0.0.1:8080 listening.
        let v4 = [
            socket("0100007F:1F90", "01", 10),
            socket("0100007F:1F90", "0A", 11),
            socket("0100000A:1F90", "0A", 12),
        ];
        write(proc.join("net/tcp"), format!("{HEAD}{}", v4.concat())).unwrap();
        let any = socket(&format!("{}:1F91", "0".repeat(32)), "0A", 13);
        write(proc.join("net/tcp6"), format!("{HEAD}{any}")).unwrap();
        plant(proc, 5, 1, "socket:[11]");
        plant(proc, 6, 5, "/dev/null");
        plant(proc, 7, 6, "socket:[10]");
        plant(proc, 8, 1, "socket:[13]");
        let of = |address: &str| Place::behind(proc, address.parse().unwrap());
        assert_eq!(of("127.0.0.1:8081"), Place::Here(vec![8]));
        let Place::Here(mut pids) = of("127.0.0.1:8080") else { panic!("not found") };
        pids.sort_unstable();
        assert_eq!(pids, [5, 6, 7]);
        assert_eq!(of("[::1]:8081"), Place::Here(vec![8]));
        assert_eq!(of("10.0.0.1:8080"), Place::Unknown, "nobody may be seen to hold it");
        assert_eq!(of("127.0.0.1:9"), Place::Unknown);
    }

    #[test]
    fn children_are_found_when_they_are_started_and_forgotten_when_they_have_ended() {
        let root = tempfile::tempdir().unwrap();
        let proc = root.path();
        let newest = |pid| write(proc.join("loadavg"), format!("0.1 0.1 0.1 1/9 {pid}\n")).unwrap();
        let mut target = Processes::new(vec![5]);
        let mut look = || {
            target.look(proc);
            let mut pids = target.pids().to_vec();
            pids.sort_unstable();
            pids
        };
        plant(proc, 5, 1, "/dev/null");
        plant(proc, 9, 1, "/dev/null");
        newest(9);
        assert_eq!(look(), [5]);
        plant(proc, 10, 5, "/dev/null");
        plant(proc, 11, 10, "/dev/null");
        assert_eq!(look(), [5], "the kernel has not counted them yet");
        newest(11);
        assert_eq!(look(), [5, 10, 11]);
        remove_dir_all(proc.join("10")).unwrap();
        assert_eq!(look(), [5, 11]);
    }

    #[test]
    fn only_a_network_card_leads_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let (proc, devices) = (root.path().join("proc"), root.path().join("net"));
        create_dir_all(proc.join("net")).unwrap();
        create_dir_all(devices.join("eth0/device")).unwrap();
        create_dir_all(devices.join("docker0")).unwrap();
        let routes = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n\
            eth0\t00000000\t0102A8C0\t0003\t0\t0\t0\t00000000\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\n";
        write(proc.join("net/route"), routes).unwrap();
        let of = |address: &str| Place::reached(&proc, &devices, address.parse().unwrap());
        assert_eq!(of("93.184.216.34:80"), Place::Elsewhere);
        assert_eq!(of("172.17.0.2:80"), Place::Unknown);
        assert_eq!(of("[2001:db8::1]:80"), Place::Unknown);
    }

    #[test]
    fn a_listener_of_this_process_is_found_on_this_machine() {
        let proc = Path::new(super::super::scheduling::PROC);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert!(is_own(address) && !is_own("192.0.2.1:80".parse().unwrap()));
        let place = Place::of(proc, Path::new(NETWORK_DEVICES), address);
        let Place::Here(pids) = place else { panic!("{place:?}") };
        assert!(pids.contains(&std::process::id()));
    }
}

//! Endpoints that other machines may reach, and what a start says about them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::ValueEnum;

use crate::base::network::outer_addresses;

/// An endpoint, as `--expose` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Exposable {
    /// Every endpoint that the server has
    All,
    /// The admin endpoint, where every request then needs the admin secret
    Admin,
    /// The endpoint of App Service, where every request needs the secret of a machine
    AppService,
    /// The control plane
    Arm,
    /// The identity endpoint
    Imds,
    /// The token service
    Sts,
    /// The key vaults
    Vault,
    /// The endpoint of the VM extension
    VmExtension,
}

impl Exposable {
    const EACH: [Self; 7] = [
        Self::Admin,
        Self::AppService,
        Self::Arm,
        Self::Imds,
        Self::Sts,
        Self::Vault,
        Self::VmExtension,
    ];

    /// Returns the name of the endpoint in the lines of a start.
    const fn surface(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Admin => "admin",
            Self::AppService => "app-service",
            Self::Arm => "arm",
            Self::Imds => "imds",
            Self::Sts => "sts",
            Self::Vault => "vault",
            Self::VmExtension => "vm-extension",
        }
    }
}

/// Returns the names of the endpoints that other machines may reach.
pub(super) fn exposed(named: &[Exposable]) -> Vec<&'static str> {
    let is_named = |one: &Exposable| named.contains(one) || named.contains(&Exposable::All);
    Exposable::EACH.into_iter().filter(is_named).map(Exposable::surface).collect()
}

/// Returns the address of an endpoint: the given one, or the default with this port. The default of an exposed
/// endpoint is every address of the machine.
pub(super) fn listen(
    given: Option<SocketAddr>,
    port: u16,
    surface: &str,
    exposed: &[&str],
) -> SocketAddr {
    let is_exposed = exposed.contains(&surface);
    let ip = if is_exposed { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::LOCALHOST };
    given.unwrap_or_else(|| (ip, port).into())
}

/// Reach of one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reached<'a> {
    pub(super) surface: &'static str,
    /// URL for programs on this machine.
    pub(super) url: &'a str,
    /// Address that the listener was asked for.
    pub(super) addr: SocketAddr,
}

/// Returns what a start says about endpoints that other machines reach. Empty if there is none.
pub(super) fn banner(endpoints: &[Reached<'_>], host_names: &[String]) -> String {
    let is_inner = |one: &&Reached<'_>| one.addr.ip().to_canonical().is_loopback();
    let (inner, outer): (Vec<&Reached<'_>>, Vec<&Reached<'_>>) =
        endpoints.iter().partition(is_inner);
    if outer.is_empty() {
        return String::new();
    }
    let mut lines = vec!["these endpoints can be reached from other machines:".to_owned()];
    for one in &outer {
        lines.push(format!("  {:<12} {}", one.surface, places(one)));
    }
    if !inner.is_empty() {
        let inner: Vec<&str> = inner.iter().map(|one| one.surface).collect();
        lines.push(format!("from this machine only: {}", inner.join(", ")));
    }
    let is_outer = |surface: &str| outer.iter().any(|one| one.surface == surface);
    if is_outer("imds") || is_outer("vm-extension") {
        lines.push(
            "a caller is the virtual machine that has its address; callers without one get 403"
                .to_owned(),
        );
    }
    if is_outer("admin") {
        lines.push("admin: every request needs the secret of the file below".to_owned());
    }
    lines.push(match host_names {
        [] => "names: none; clients call by an address, or by a name of --host-name".to_owned(),
        names => format!("names: addresses, and {}", names.join(", ")),
    });
    lines.join("\n")
}

/// Returns the URLs at which other machines reach an endpoint.
fn places(one: &Reached<'_>) -> String {
    let (scheme, authority) = one.url.split_once("://").unwrap_or(("http", one.url));
    let port = authority.rsplit_once(':').map_or("", |(_, port)| port);
    let is_link_local = matches!(one.addr.ip(), IpAddr::V4(ip) if ip.is_link_local());
    if is_link_local {
        return format!("{scheme}://{authority} (this machine and its local link)");
    }
    if !one.addr.ip().is_unspecified() {
        return format!("{scheme}://{authority}");
    }
    let is_v6 = one.addr.is_ipv6();
    let found = outer_addresses().into_iter().filter(|(ip, _)| is_v6 || ip.is_ipv4());
    let found: Vec<String> = found
        .map(|(ip, device)| match ip {
            IpAddr::V4(ip) => format!("{scheme}://{ip}:{port} ({device})"),
            IpAddr::V6(ip) => format!("{scheme}://[{ip}]:{port} ({device})"),
        })
        .collect();
    if found.is_empty() {
        return format!("{scheme}://{}:{port} (every address of this machine)", one.addr.ip());
    }
    found.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exposed_endpoint_listens_everywhere_unless_it_has_an_address() {
        let named = exposed(&[Exposable::Imds, Exposable::VmExtension]);
        assert_eq!(named, ["imds", "vm-extension"]);
        assert_eq!(exposed(&[Exposable::All]).len(), Exposable::EACH.len());
        assert!(exposed(&[]).is_empty());
        let own = "127.0.0.5:80".parse().unwrap();
        assert_eq!(listen(Some(own), 8169, "imds", &named), own);
        assert_eq!(listen(None, 8169, "imds", &named).to_string(), "0.0.0.0:8169");
        assert_eq!(listen(None, 8172, "arm", &named).to_string(), "127.0.0.1:8172");
    }

    #[test]
    fn the_banner_says_what_is_reached_from_where() {
        let [admin, imds]: [SocketAddr; 2] =
            ["127.0.0.1:8171", "192.0.2.1:80"].map(|addr| addr.parse().unwrap());
        let endpoints = [
            Reached { surface: "imds", url: "http://192.0.2.1:80", addr: imds },
            Reached { surface: "admin", url: "http://127.0.0.1:8171", addr: admin },
        ];
        let said = banner(&endpoints, &["mintbench".to_owned()]);
        for part in [
            "  imds         http://192.0.2.1:80\n",
            "from this machine only: admin\n",
            "callers without one get 403",
            "names: addresses, and mintbench",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("needs the secret"), "{said}");
        assert_eq!(banner(&endpoints[1..], &[]), "");
    }
}

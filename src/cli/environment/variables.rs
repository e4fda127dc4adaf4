//! The environment in which SDKs and tools use a server: its one definition.

use crate::cli::running::Running;

/// Variables, and those that must not be there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Environment {
    /// Names and values.
    pub(crate) set: Vec<(&'static str, String)>,
    /// Variables of other sources of identities, which an SDK would ask first.
    pub(crate) cleared: Vec<&'static str>,
}

/// Variables that lead SDKs to another source of identities: App Service, Azure Arc, Service Fabric, Cloud
/// Shell and workload identity.
const OTHER_SOURCES: [&str; 7] = [
    "AZURE_FEDERATED_TOKEN_FILE",
    "IDENTITY_ENDPOINT",
    "IDENTITY_HEADER",
    "IDENTITY_SERVER_THUMBPRINT",
    "IMDS_ENDPOINT",
    "MSI_ENDPOINT",
    "MSI_SECRET",
];

/// Variables that name a proxy.
const PROXIES: [&str; 6] =
    ["ALL_PROXY", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy", "http_proxy", "https_proxy"];

/// Hosts of a server, which no proxy reaches.
const DIRECT: &str = "127.0.0.1,localhost,.localhost,169.254.169.254";

impl Environment {
    /// Returns the environment of programs that call the identity endpoint at `imds`, are known by
    /// `identity_header` at the App Service endpoint, and have the variables `trusted` of certificate authorities.
    /// `given` returns the variables that they have already.
    pub(crate) fn of(
        running: &Running,
        imds: &str,
        identity_header: Option<String>,
        trusted: Vec<(&'static str, String)>,
        given: &dyn Fn(&str) -> Option<String>,
    ) -> Self {
        let mut set = vec![
            // The identity endpoint: azure-identity and MSAL for Python and JavaScript, MSAL.NET, Java.
            ("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.to_owned()),
            // The token service, for clients with a credential of their own.
            ("AZURE_AUTHORITY_HOST", by_name(running.url("sts"))),
            // az: do not ask Microsoft whether the authority is one of its own.
            ("AZURE_CORE_INSTANCE_DISCOVERY", "false".to_owned()),
        ];
        set.extend(terraform(running.url("arm"), imds));
        set.extend(trusted);
        set.extend(app_service(running, identity_header));
        set.extend(direct(given));
        let is_set = |name: &str| set.iter().any(|(own, _)| *own == name);
        let cleared = OTHER_SOURCES.into_iter().filter(|name| !is_set(name)).collect();
        Self { set, cleared }
    }
}

/// Returns the pair of variables of App Service, if the server knows programs by a secret there. The SDKs for Go and
/// Rust, which ignore the address of the identity endpoint, follow it too (ADR 30).
fn app_service(running: &Running, header: Option<String>) -> Vec<(&'static str, String)> {
    let Some(header) = header else { return Vec::new() };
    let endpoint = running.url("app-service").to_owned();
    vec![("IDENTITY_ENDPOINT", endpoint), ("IDENTITY_HEADER", header)]
}

/// Returns the variables that keep calls to the server away from a proxy, if there is one.
fn direct(given: &dyn Fn(&str) -> Option<String>) -> Vec<(&'static str, String)> {
    if !PROXIES.iter().any(|name| given(name).is_some()) {
        return Vec::new();
    }
    // Some libraries read one name, some the other.
    let names = ["NO_PROXY", "no_proxy"];
    let hosts = match names.iter().find_map(|name| given(name)) {
        Some(own) if own.contains(DIRECT) => own,
        Some(own) => format!("{own},{DIRECT}"),
        None => DIRECT.to_owned(),
    };
    names.map(|name| (name, hosts.clone())).into()
}

/// Returns the variables of Terraform's providers: where the control plane tells about this cloud, and where managed
/// identities get their tokens (`use_msi`).
fn terraform(arm: &str, imds: &str) -> [(&'static str, String); 2] {
    let host = by_name(arm).replacen("https://", "", 1);
    let tokens = format!("{imds}/metadata/identity/oauth2/token");
    [("ARM_METADATA_HOSTNAME", host), ("ARM_MSI_ENDPOINT", tokens)]
}

/// Returns a URL with the name that most clients accept for a loopback address.
fn by_name(url: &str) -> String {
    url.replacen("://127.0.0.1:", "://localhost:", 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxy_is_not_asked_for_the_server() {
        assert!(direct(&|_| None).is_empty());
        let given = |name: &str| match name {
            "https_proxy" => Some("http://proxy:3128".to_owned()),
            "no_proxy" => Some("intern.example".to_owned()),
            _ => None,
        };
        let hosts = format!("intern.example,{DIRECT}");
        assert_eq!(direct(&given), [("NO_PROXY", hosts.clone()), ("no_proxy", hosts)]);
    }

    #[test]
    fn a_server_is_called_by_name_on_loopback_only() {
        assert_eq!(by_name("https://127.0.0.1:8170"), "https://localhost:8170");
        assert_eq!(by_name("https://192.0.2.1:8170"), "https://192.0.2.1:8170");
    }

    #[test]
    fn terraform_finds_the_control_plane_by_its_host_and_tokens_by_their_url() {
        let [metadata, tokens] = terraform("https://127.0.0.1:8172", "http://127.0.0.1:8169");
        assert_eq!(metadata, ("ARM_METADATA_HOSTNAME", "localhost:8172".to_owned()));
        let url = "http://127.0.0.1:8169/metadata/identity/oauth2/token".to_owned();
        assert_eq!(tokens, ("ARM_MSI_ENDPOINT", url));
    }
}

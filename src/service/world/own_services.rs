//! The services of this server, as resources of tokens.

use hyper::http::uri::Authority;

/// Services of this server, which clients name by their URLs. Terraform's provider takes the URLs of
/// `/metadata/endpoints` as resources.
#[derive(Clone, Debug, Default)]
pub(crate) struct OwnServices {
    /// Names and addresses of this server.
    pub(crate) names: Vec<String>,
    /// Port of each service, and the audience of its tokens.
    pub(crate) services: Vec<(u16, &'static str)>,
}

impl OwnServices {
    /// Returns the audience of the service at the URL `resource`.
    pub(crate) fn audience(&self, resource: &str) -> Option<&'static str> {
        let authority = resource.strip_prefix("https://")?;
        let authority = authority.strip_suffix('/').unwrap_or(authority);
        let authority: Authority = authority.parse().ok().filter(|_| !authority.contains('@'))?;
        let (name, port) = (authority.host(), authority.port_u16().unwrap_or(443));
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let is_own =
            |own: &String| own.strip_prefix("*.").unwrap_or(own).eq_ignore_ascii_case(name);
        let mut services = self.services.iter().filter(|_| self.names.iter().any(is_own));
        services.find(|(own, _)| *own == port).map(|(_, audience)| *audience)
    }
}

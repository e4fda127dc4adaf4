//! Sockets of all surfaces.

use std::net::{SocketAddr, TcpListener};

use super::vaults::BoundVaults;
use super::{ServerError, ServerOptions};
use crate::base::http;
use crate::base::http::{BindError, Scheme};
use crate::service::arm::ArmAuth;

/// The socket of each surface. All are bound before anything starts.
pub(super) struct Sockets {
    pub(super) imds: Vec<TcpListener>,
    pub(super) imds_url: String,
    pub(super) sts: Bound,
    pub(super) arm: Bound,
    pub(super) vault: BoundVaults,
    pub(super) extension: Option<Bound>,
    pub(super) admin: Bound,
}

impl Sockets {
    pub(super) fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        let imds =
            http::bind_group(options.imds, options.workers.get()).map_err(bind_error("imds"))?;
        let scheme = if options.tls_only { Scheme::Https } else { Scheme::Http };
        let extension = options.vm_extension;
        Ok(Self {
            imds_url: url(imds.first(), Scheme::Http)?,
            imds,
            sts: Bound::open("sts", options.sts, scheme)?,
            arm: match options.arm_auth {
                ArmAuth::Bearer => Bound::open("arm", options.arm, Scheme::Https)?,
                ArmAuth::Off => Bound::open_to_loopback("arm", options.arm, Scheme::Https)?,
            }
            .giving_way(),
            vault: BoundVaults::open(options)?,
            extension: extension
                .map(|addr| Bound::open("vm-extension", addr, Scheme::Http))
                .transpose()?,
            // The endpoint has no authentication for reads, so it accepts no other machines, not even on the
            // local link.
            admin: Bound::open_to_loopback("admin", options.admin, Scheme::Http)?,
        })
    }
}

/// A surface that is bound but does not answer yet.
pub(super) struct Bound {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
    pub(super) url: String,
    pub(super) urgency: Urgency,
}

/// Priority of a surface's threads for a core that other threads need too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// Normal priority.
    AtOnce,
    /// Lower priority: a change waits for the disk anyway, and must not delay token requests.
    GivesWay,
}

impl Bound {
    fn open(name: &'static str, addr: SocketAddr, scheme: Scheme) -> Result<Self, ServerError> {
        let listener = http::bind(addr).map_err(bind_error(name))?;
        let url = url(Some(&listener), scheme)?;
        Ok(Self { name, listener, url, urgency: Urgency::AtOnce })
    }

    fn giving_way(self) -> Self {
        Self { urgency: Urgency::GivesWay, ..self }
    }

    fn open_to_loopback(
        name: &'static str,
        addr: SocketAddr,
        scheme: Scheme,
    ) -> Result<Self, ServerError> {
        if !addr.ip().to_canonical().is_loopback() {
            return Err(ServerError::NotLoopback { surface: name, addr });
        }
        Self::open(name, addr, scheme)
    }

    pub(super) fn https_url(&self) -> String {
        self.url.replacen("http://", "https://", 1)
    }
}

pub(super) fn bind_error(surface: &'static str) -> impl FnOnce(BindError) -> ServerError {
    move |source| ServerError::Bind { surface, source }
}

fn url(listener: Option<&TcpListener>, scheme: Scheme) -> std::io::Result<String> {
    let addr = listener.map_or_else(
        || Err(std::io::ErrorKind::AddrNotAvailable.into()),
        TcpListener::local_addr,
    )?;
    Ok(format!("{scheme}://{addr}"))
}

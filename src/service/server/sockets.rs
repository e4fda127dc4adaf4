//! Sockets of all surfaces.

use std::net::{SocketAddr, TcpListener};

use super::bound::{Bound, bind_error, url};
use super::error::ServerError;
use super::options::ServerOptions;
use super::vaults::BoundVaults;
use crate::base::http::{self, Reach, Scheme};
use crate::service::arm::ArmAuth;
use crate::service::imds::AppService;

/// The socket of each surface. All are bound before anything starts.
pub(super) struct Sockets {
    pub(super) imds: Vec<TcpListener>,
    pub(super) imds_url: String,
    pub(super) sts: Bound,
    pub(super) arm: Bound,
    pub(super) vault: BoundVaults,
    pub(super) extension: Option<Bound>,
    pub(super) app_service: Option<Bound>,
    pub(super) admin: Bound,
}

impl Sockets {
    pub(super) fn bind(options: &ServerOptions) -> Result<Self, ServerError> {
        let workers = options.workers.get();
        let imds = http::bind_group(options.imds, options.reach("imds"), workers)
            .map_err(bind_error("imds"))?;
        let scheme = if options.tls_only { Scheme::Https } else { Scheme::Http };
        let optional = |name, addr: Option<SocketAddr>| {
            addr.map(|addr| Bound::open(name, addr, Scheme::Http, options)).transpose()
        };
        Ok(Self {
            imds_url: url(imds.first(), Scheme::Http)?,
            imds,
            sts: Bound::open("sts", options.sts, scheme, options)?,
            arm: match options.arm_auth {
                ArmAuth::Bearer => Bound::open("arm", options.arm, Scheme::Https, options)?,
                ArmAuth::Off => {
                    Bound::open_to_loopback("arm", options.arm, Scheme::Https, options)?
                }
            }
            .with_low_priority(),
            vault: BoundVaults::open(options)?,
            extension: optional("vm-extension", options.vm_extension)?,
            app_service: optional("app-service", options.app_service)?
                .map(|bound| bound.with_path(AppService::PATH)),
            admin: match options.reach("admin") {
                // Reads then need no secret, so no other machine may call, not even on the local link.
                Reach::Local => {
                    Bound::open_to_loopback("admin", options.admin, Scheme::Http, options)?
                }
                Reach::Network => Bound::open("admin", options.admin, Scheme::Http, options)?,
            },
        })
    }
}

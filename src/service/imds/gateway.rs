//! Notice of callers that all come from one gateway.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::service::directory::{Caller, Directory};

/// Notices callers behind a published port: they all come from the gateway of the network, so nobody can tell
/// one machine from another. Says once what to do.
#[derive(Debug)]
pub(crate) struct GatewayNotice {
    gateways: Vec<IpAddr>,
    said: AtomicBool,
}

impl GatewayNotice {
    /// Creates the notice for callers from these gateways.
    pub(crate) fn new(gateways: Vec<IpAddr>) -> Self {
        Self { gateways, said: AtomicBool::new(false) }
    }

    /// Looks at a caller. Called once for each connection.
    pub(super) fn see(&self, caller: &Caller, directory: &Directory) {
        if self.is_news(caller, directory) && !self.said.swap(true, Ordering::Relaxed) {
            let gateway = caller.address;
            tracing::warn!(
                "callers come from {gateway}, the gateway of this machine's network: a published port hides their own addresses, so all of them are one machine of the world; let them join this server's network (in Compose: the same `networks`), where each has an address of its own, or give one machine this address: mintbench vm update NAME --address {gateway}"
            );
        }
    }

    /// Returns true if the caller is an unknown one behind a gateway. The owner of the world may have given
    /// the address to a machine on purpose, and a world of one machine that answers everybody needs no
    /// addresses.
    fn is_news(&self, caller: &Caller, directory: &Directory) -> bool {
        let is_known = caller.slot.is_some() || caller.called.is_some();
        if is_known || !self.gateways.contains(&caller.address) {
            return false;
        }
        let state = directory.read();
        state.vm_count() > 1 || !state.answers(caller.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::directory::tests::demo;

    #[test]
    fn only_an_unknown_caller_behind_a_gateway_is_news() {
        let directory = demo();
        let [own, gateway, other]: [IpAddr; 3] =
            ["127.0.0.1", "10.88.0.1", "10.88.0.9"].map(|text| text.parse().unwrap());
        let notice = GatewayNotice::new(vec![own, gateway]);
        let is_news = |address| notice.is_news(&directory.caller(address), &directory);
        assert!(is_news(gateway));
        assert!(!is_news(own) && !is_news(other));
        for _ in 0..2 {
            notice.see(&directory.caller(gateway), &directory);
            assert!(notice.said.load(Ordering::Relaxed));
        }
    }
}

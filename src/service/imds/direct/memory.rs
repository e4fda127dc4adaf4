//! Memory of a worker from request to request.

use super::head::Heads;
use super::targets::Targets;
use crate::base::http::{Host, HostRules};

/// The memory of one worker.
#[derive(Debug, Default)]
pub(in crate::service::imds) struct Memory {
    pub(super) targets: Targets,
    pub(super) hosts: AcceptedHost,
    pub(super) heads: Heads,
}

/// The last accepted `Host`, which the next request usually repeats. The rules never change.
#[derive(Debug, Default)]
pub(super) struct AcceptedHost(String);

impl AcceptedHost {
    /// Returns the host if `rules` accept it.
    pub(super) fn accept<'a>(&'a mut self, host: &'a [u8], rules: &HostRules) -> Option<Host<'a>> {
        if self.0.is_empty() || self.0.as_bytes() != host {
            self.0.clear();
            // As hyper's header values: visible ASCII.
            let text = std::str::from_utf8(host).ok().filter(|text| text.is_ascii())?;
            rules.accept(text)?;
            self.0.push_str(text);
        }
        Some(Host::new(&self.0))
    }
}

//! Answers to plain token requests without hyper.
//!
//! Only hits are answered here. Each one passes the same checks as in hyper's path, by the same functions:
//! admission, parameters, selection of the identity, expiry, the claim to renew, and the counters. Each worker
//! remembers what does not change from request to request: targets, the accepted host, and the head of the
//! answer. It remembers nothing about callers.

mod head;
mod memory;
mod targets;

use hyper::StatusCode;

pub(super) use memory::Memory;

use super::admission::admit_plain;
use super::endpoint::Imds;
use crate::base::http::{PlainAnswer, PlainRequest};
use crate::service::directory::Caller;

impl Imds {
    /// Appends the answer to a token request that is a hit.
    pub(super) fn answer_hit(
        &self,
        memory: &mut Memory,
        caller: &Caller,
        request: &PlainRequest<'_>,
        answer: &mut Vec<u8>,
    ) -> PlainAnswer {
        let Memory { targets, hosts, head } = memory;
        if admit_plain(request, hosts.accept(request.host(), &self.hosts)).is_err() {
            return PlainAnswer::Left;
        }
        let Some(target) = targets.find(request.target()) else { return PlainAnswer::Left };
        let Some(hit) = self.broker.hit(caller, &target.request(), &*self.clock) else {
            return PlainAnswer::Left;
        };
        let request_id = self.request_ids.next();
        self.responses.count(StatusCode::OK);
        hit.token().with_body(hit.at, |parts, len| {
            head.append(request_id, len, hit.at, answer);
            for part in parts {
                answer.extend_from_slice(part);
            }
        });
        PlainAnswer::Appended
    }
}

#[cfg(test)]
mod tests;

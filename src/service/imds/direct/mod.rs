//! Answers to plain token requests without hyper.
//!
//! Only requests that get a token are answered here. Each one passes the same checks as in hyper's path, by the
//! same functions: admission, parameters, selection of the identity, expiry, the claim to renew, the mint, and
//! the counters. Each worker remembers what does not change from request to request: targets, the accepted host,
//! and the head of the answer. It remembers nothing about callers.

mod head;
mod memory;
mod targets;

use hyper::StatusCode;
use parking_lot::Mutex;
use uuid::Uuid;

use head::Heads;
pub(super) use memory::Memory;

use super::admission::admit_plain;
use super::endpoint::Imds;
use super::parameters::Parameters;
use crate::base::http::{ANSWER_BYTES, LaterAnswer, PlainAnswer, PlainRequest};
use crate::service::broker::Answer;
use crate::service::directory::Caller;

impl Imds {
    /// Appends the answer to a token request if it is a hit. Otherwise returns a future of the answer.
    pub(super) fn answer_token<'a>(
        &'a self,
        memory: &'a Mutex<Memory>,
        caller: &'a Caller,
        request: &PlainRequest<'_>,
        answer: &mut Vec<u8>,
    ) -> PlainAnswer<'a> {
        let mut held = memory.lock();
        let Memory { targets, hosts, heads } = &mut *held;
        if admit_plain(request, hosts.accept(request.host(), &self.hosts)).is_err() {
            return PlainAnswer::Left;
        }
        let Some(meaning) = targets.find(request.target()) else { return PlainAnswer::Left };
        let request = meaning.request();
        let Some(hit) = self.broker.hit(caller, &request, &*self.clock) else {
            return PlainAnswer::Later(self.answer_later(memory, caller, Parameters::of(&request)));
        };
        self.append(heads, self.request_ids.next(), &hit, answer);
        PlainAnswer::Appended
    }

    /// Returns the answer to a token request that is no hit.
    fn answer_later<'a>(
        &'a self,
        memory: &'a Mutex<Memory>,
        caller: &'a Caller,
        parameters: Parameters<'static>,
    ) -> LaterAnswer<'a> {
        Box::pin(async move {
            let request_id = self.request_ids.next();
            match self.obtain(caller, &parameters.request(), request_id).await {
                Ok(obtained) => {
                    let mut answer = Vec::with_capacity(ANSWER_BYTES);
                    self.append(&mut memory.lock().heads, request_id, &obtained, &mut answer);
                    Ok(answer)
                }
                Err(error) => Err(Box::new(self.finished(Err(error), request_id))),
            }
        })
    }

    fn append(&self, heads: &mut Heads, request_id: Uuid, given: &Answer, answer: &mut Vec<u8>) {
        self.responses.count(StatusCode::OK);
        given.token().with_body(given.at, |parts, len| {
            heads.of(given.via).append(request_id, len, given.at, answer);
            for part in parts {
                answer.extend_from_slice(part);
            }
        });
    }
}

#[cfg(test)]
mod tests;

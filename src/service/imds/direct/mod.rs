//! Answers to plain token requests without hyper.
//!
//! Only requests that get a token are answered here. Each one passes the same checks as in hyper's path, by the
//! same functions: admission, parameters, selection of the identity, expiry, the claim to renew, the mint, and
//! the counters. Each worker remembers what does not change from request to request: targets, the accepted host,
//! and the head of the answer. It remembers nothing about callers.

mod head;
mod memory;
mod targets;

use std::sync::Arc;

use hyper::StatusCode;
use parking_lot::Mutex;
use uuid::Uuid;

use head::Heads;
pub(super) use memory::Memory;
use targets::Target;

use super::admission::admit_plain;
use super::endpoint::Imds;
use super::error::ImdsError;
use crate::base::http::{LaterAnswer, PlainAnswer, PlainRequest};
use crate::service::broker::Answer;
use crate::service::directory::Caller;

impl Imds {
    /// Appends the answer to a token request that is a hit, or begins to wait for that to a miss.
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
        let Some(target) = targets.find(request.target()) else { return PlainAnswer::Left };
        match self.broker.hit(caller, &target.request(), &*self.clock) {
            Ok(Some(hit)) => {
                self.append(heads, self.request_ids.next(), &hit, answer);
                PlainAnswer::Appended
            }
            Ok(None) => {
                let (target, answer) = (Arc::clone(target), std::mem::take(answer));
                PlainAnswer::Later(self.answer_miss(memory, caller, target, answer))
            }
            Err(_) => PlainAnswer::Left,
        }
    }

    /// Returns the answer to a request whose token is not cached.
    fn answer_miss<'a>(
        &'a self,
        memory: &'a Mutex<Memory>,
        caller: &'a Caller,
        target: Arc<Target>,
        mut answer: Vec<u8>,
    ) -> LaterAnswer<'a> {
        Box::pin(async move {
            let request_id = self.request_ids.next();
            let given = self.broker.token(caller, &target.request(), &*self.clock).await;
            match given {
                Ok(given) => {
                    self.append(&mut memory.lock().heads, request_id, &given, &mut answer);
                    Ok(answer)
                }
                Err(error) => {
                    let error = ImdsError::of_token(error, caller, request_id, self.clock.now());
                    Err(Box::new(self.finished(Err(error), request_id)))
                }
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

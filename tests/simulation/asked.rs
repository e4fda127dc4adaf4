//! A request on its way.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use mintbench::service::broker::{Answer, Broker, TokenError, TokenRequest};
use mintbench::service::cache::Freshness;
use mintbench::service::directory::Caller;
use mintbench::service::world::Selector;
use parking_lot::Mutex;

use crate::clock::VirtualClock;
use crate::past::StepNumber;

/// Numbers of the requests that can go on.
pub(crate) type Woken = Arc<Mutex<Vec<usize>>>;

struct Waking {
    number: usize,
    woken: Woken,
}

impl Wake for Waking {
    fn wake(self: Arc<Self>) {
        let mut woken = self.woken.lock();
        if !woken.contains(&self.number) {
            woken.push(self.number);
        }
    }
}

type Answered = Result<Answer, TokenError>;

/// Content of a request.
#[derive(Clone)]
pub(crate) struct Wish {
    pub(crate) address: IpAddr,
    pub(crate) selector: Option<Selector>,
    pub(crate) resource: &'static str,
    pub(crate) freshness: Freshness,
}

impl fmt::Debug for Wish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, selector, resource, freshness } = self;
        write!(f, "{address} ")?;
        match selector {
            None => {}
            Some(Selector::ClientId(id)) => write!(f, "client {id} ")?,
            Some(Selector::ObjectId(id)) => write!(f, "object {id} ")?,
            Some(Selector::ResourceId(id)) => write!(f, "{} ", id.name())?,
        }
        f.write_str(resource)?;
        if *freshness == Freshness::Renewed { f.write_str(" anew") } else { Ok(()) }
    }
}

/// A request that is not answered yet.
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    /// Step in which it came.
    pub(crate) step: StepNumber,
    /// Second in which it came.
    pub(crate) second: u64,
    /// Second in which its caller goes away.
    pub(crate) leaves: Option<u64>,
    /// Jobs that waited for a lane when it came, once it has begun.
    pub(crate) queued: Option<u64>,
    /// Numbers of its address and its resource.
    pub(crate) pair: (u8, usize),
    broker: Arc<Broker>,
    future: Pin<Box<dyn Future<Output = Answered>>>,
    waker: Waker,
}

impl Asked {
    pub(crate) fn new(
        number: usize,
        woken: &Woken,
        wish: Wish,
        (broker, caller): (Arc<Broker>, Caller),
        clock: Arc<VirtualClock>,
    ) -> Self {
        let waking = Waking { number, woken: Arc::clone(woken) };
        let (waker, own) = (Waker::from(Arc::new(waking)), wish.clone());
        waker.wake_by_ref();
        let second = clock.second();
        let own_broker = Arc::clone(&broker);
        let future = Box::pin(async move {
            let request = TokenRequest {
                selector: own.selector.as_ref(),
                resource: own.resource,
                freshness: own.freshness,
            };
            // As the identity endpoint does.
            if let Some(answer) = broker.hit(&caller, &request, &*clock) {
                return Ok(answer);
            }
            broker.token(&caller, &request, &*clock).await
        });
        let broker = own_broker;
        Self {
            wish,
            step: 0,
            second,
            leaves: None,
            queued: None,
            pair: (0, 0),
            broker,
            future,
            waker,
        }
    }

    /// Lets the request go on until it is answered or waits.
    pub(crate) fn poll(&mut self) -> Option<Answered> {
        let broker = &self.broker;
        self.queued.get_or_insert_with(|| broker.stats().lanes.queued);
        match self.future.as_mut().poll(&mut Context::from_waker(&self.waker)) {
            Poll::Ready(answered) => Some(answered),
            Poll::Pending => None,
        }
    }
}

//! Threads of which one runs at a time: each runs until it stops at a point of its own, and goes on when the scheduler
//! says so. So the order of everything that threads do is a choice of the scheduler.

use std::cell::RefCell;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

type Work = Box<dyn FnOnce() + Send>;

/// Order of the scheduler to a thread.
pub(crate) enum Order {
    /// The process is about to die: return at once, and do not stop again.
    Die,
    /// Go on.
    Go,
    /// Begin this work.
    Work(Work),
}

/// Place at which a thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The work is done.
    Idle,
    /// The thread can go on at any time.
    Ready,
    /// The thread waits until this second of the monotonic clock.
    Until(u64),
}

struct Baton {
    orders: Receiver<Order>,
    stops: Sender<Stop>,
    is_dying: bool,
}

thread_local! {
    static BATON: RefCell<Option<Baton>> = const { RefCell::new(None) };
}

/// Returns true on a thread that the scheduler can stop.
pub(crate) fn can_stop() -> bool {
    BATON.with_borrow(|baton| baton.as_ref().is_some_and(|baton| !baton.is_dying))
}

/// Stops this thread until the scheduler lets it go on. Returns false if the process dies. The scheduler's own thread does
/// not stop.
pub(crate) fn stop(at: Stop) -> bool {
    BATON.with_borrow_mut(|baton| {
        let Some(baton) = baton else { return true };
        if !baton.is_dying {
            baton.stops.send(at).unwrap();
            baton.is_dying = matches!(baton.orders.recv().unwrap(), Order::Die);
        }
        !baton.is_dying
    })
}

/// A thread that the scheduler moves.
pub(crate) struct Actor {
    orders: Option<Sender<Order>>,
    stops: Receiver<Stop>,
    thread: Option<JoinHandle<()>>,
    /// Place at which it stands.
    pub(crate) at: Stop,
}

impl Actor {
    pub(crate) fn start() -> Self {
        let ((orders, received), (tell, stops)) = (channel(), channel());
        let thread = std::thread::spawn(move || run(received, tell));
        Self { orders: Some(orders), stops, thread: Some(thread), at: Stop::Idle }
    }

    /// Begins a piece of work, and returns when it is done or stops.
    pub(crate) fn begin(&mut self, work: impl FnOnce() + Send + 'static) {
        self.tell(Order::Work(Box::new(work)));
    }

    /// Lets the thread go on, and returns when its work is done or stops again.
    pub(crate) fn go_on(&mut self) {
        self.tell(Order::Go);
    }

    /// Ends the work of the thread, as the process dies.
    pub(crate) fn die(&mut self) {
        if self.at != Stop::Idle {
            self.tell(Order::Die);
        }
    }

    /// Returns true if the thread can go on at this second.
    pub(crate) fn is_ready(&self, second: u64) -> bool {
        match self.at {
            Stop::Idle => false,
            Stop::Ready => true,
            Stop::Until(until) => until <= second,
        }
    }

    fn tell(&mut self, order: Order) {
        self.orders.as_ref().unwrap().send(order).unwrap();
        self.at = self.stops.recv().expect("the thread of an actor panicked");
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.die();
        }
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(orders: Receiver<Order>, stops: Sender<Stop>) {
    BATON.set(Some(Baton { orders, stops, is_dying: false }));
    loop {
        let order = BATON.with_borrow(|baton| baton.as_ref().unwrap().orders.recv());
        let Ok(Order::Work(work)) = order else { return };
        work();
        BATON.with_borrow_mut(|baton| {
            let baton = baton.as_mut().unwrap();
            baton.is_dying = false;
            baton.stops.send(Stop::Idle).unwrap();
        });
    }
}

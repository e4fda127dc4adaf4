//! Wakes of tasks by other threads.
//!
//! tokio makes a system call for each task that another thread wakes. Here all tasks of a thread that are woken
//! until the thread runs share one.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use crate::base::sync::Mutex;

thread_local! {
    static OWN: RefCell<Option<Arc<Wakes>>> = const { RefCell::new(None) };
}

/// Tasks of one thread that other threads have woken.
#[derive(Debug, Default)]
struct Wakes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    woken: Vec<Waker>,
    /// The task that wakes the others on their own thread. `None` once it is woken itself.
    deliverer: Option<Waker>,
    /// True once nobody delivers any more: each task is woken at once.
    has_ended: bool,
}

impl Wakes {
    fn add(&self, task: Waker) {
        let mut state = self.0.lock();
        if state.has_ended {
            drop(state);
            return task.wake();
        }
        state.woken.push(task);
        let deliverer = state.deliverer.take();
        drop(state);
        if let Some(deliverer) = deliverer {
            deliverer.wake();
        }
    }

    /// Moves the woken tasks to `woken`, or registers the task that asks for them.
    fn poll_take(&self, woken: &mut Vec<Waker>, context: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.woken.is_empty() {
            state.deliverer = Some(context.waker().clone());
            return Poll::Pending;
        }
        std::mem::swap(&mut state.woken, woken);
        Poll::Ready(())
    }

    /// Wakes the tasks that are left. Later ones are woken at once.
    fn end(&self) {
        let mut state = self.0.lock();
        state.has_ended = true;
        let (woken, _) = (std::mem::take(&mut state.woken), state.deliverer.take());
        drop(state);
        woken.into_iter().for_each(Waker::wake);
    }
}

/// Wakes the tasks of this thread that [`gather`] waits for. Never ends: spawn it on the runtime of the thread.
pub(crate) async fn deliver() {
    let wakes = Arc::<Wakes>::default();
    let _delivering = Delivering::begin(&wakes);
    let mut woken = Vec::new();
    loop {
        poll_fn(|context| wakes.poll_take(&mut woken, context)).await;
        woken.drain(..).for_each(Waker::wake);
    }
}

/// The time in which the wakes of this thread are delivered.
struct Delivering(Arc<Wakes>);

impl Delivering {
    fn begin(wakes: &Arc<Wakes>) -> Self {
        OWN.set(Some(Arc::clone(wakes)));
        Self(Arc::clone(wakes))
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        // Without the value, the thread has ended.
        let _ = OWN.try_with(|own| {
            let mut own = own.borrow_mut();
            if own.as_ref().is_some_and(|own| Arc::ptr_eq(own, &self.0)) {
                *own = None;
            }
        });
        self.0.end();
    }
}

/// A task, as others see it.
struct Task {
    waker: Waker,
    wakes: Arc<Wakes>,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wakes.add(self.waker.clone());
    }
}

/// Waits for a future that other threads complete. Their wakes share a system call if [`deliver`] runs on this
/// thread.
pub(crate) async fn gather<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut known: Option<(Waker, Waker)> = None;
    poll_fn(|context| {
        let own = context.waker();
        if !known.as_ref().is_some_and(|(waker, _)| waker.will_wake(own)) {
            known = Some((own.clone(), shared(own)));
        }
        let waker = known.as_ref().map_or(own, |(_, shared)| shared);
        future.as_mut().poll(&mut Context::from_waker(waker))
    })
    .await
}

/// Returns a waker that wakes the task on its own thread.
fn shared(own: &Waker) -> Waker {
    let wakes = OWN.with_borrow(Option::clone);
    let task = |wakes| Waker::from(Arc::new(Task { waker: own.clone(), wakes }));
    wakes.map_or_else(|| own.clone(), task)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::channel;

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn every_task_gets_what_another_thread_gives_it() {
        for is_delivered in [true, false] {
            let runtime = Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                if is_delivered {
                    tokio::spawn(deliver());
                }
                let (give, given) = channel::<oneshot::Sender<usize>>();
                let other = std::thread::spawn(move || {
                    for (number, to) in given.iter().enumerate() {
                        to.send(number).unwrap();
                    }
                });
                let tasks = (0..1000).map(|_| {
                    let give = give.clone();
                    tokio::spawn(async move {
                        let (to, got) = oneshot::channel();
                        give.send(to).unwrap();
                        gather(got).await.unwrap()
                    })
                });
                let tasks: Vec<_> = tasks.collect();
                drop(give);
                let mut sum = 0;
                for task in tasks {
                    sum += task.await.unwrap();
                }
                assert_eq!(sum, 999 * 1000 / 2);
                other.join().unwrap();
            });
        }
    }

    #[test]
    fn nothing_is_left_of_tasks_that_still_wait_when_their_runtime_ends() {
        let runtime = Builder::new_current_thread().build().unwrap();
        let (to, got) = oneshot::channel::<()>();
        let (woken, gone) = oneshot::channel();
        let wakes = runtime.block_on(async {
            tokio::spawn(deliver());
            tokio::spawn(gather(got));
            tokio::spawn(gather(gone));
            tokio::task::yield_now().await;
            // Not delivered before the end.
            woken.send(()).unwrap();
            OWN.with_borrow(|own| Arc::downgrade(own.as_ref().unwrap()))
        });
        drop(runtime);
        assert!(to.send(()).is_err());
        assert!(wakes.upgrade().is_none());
        assert!(OWN.with_borrow(Option::is_none));
    }

    #[test]
    fn a_task_that_waits_is_woken_although_nobody_delivers_any_more() {
        for is_woken_before in [true, false] {
            let runtime = Builder::new_current_thread().build().unwrap();
            let (to, got) = oneshot::channel();
            runtime.block_on(async {
                let delivering = tokio::spawn(deliver());
                let waiting = tokio::spawn(gather(got));
                tokio::task::yield_now().await;
                if is_woken_before {
                    to.send(7).unwrap();
                    delivering.abort();
                } else {
                    delivering.abort();
                    tokio::task::yield_now().await;
                    to.send(7).unwrap();
                }
                assert_eq!(waiting.await.unwrap(), Ok(7));
            });
        }
    }

    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Wake for Counter {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn tasks_that_are_woken_before_their_thread_runs_share_one_wake_of_it() {
        let (wakes, counter) = (Wakes::default(), Arc::new(Counter::default()));
        let deliverer = Waker::from(Arc::clone(&counter));
        let (context, mut woken) = (Context::from_waker(&deliverer), Vec::new());
        for _ in 0..3 {
            assert!(wakes.poll_take(&mut woken, &context).is_pending());
            for _ in 0..5 {
                wakes.add(Waker::noop().clone());
            }
            assert!(wakes.poll_take(&mut woken, &context).is_ready());
            assert_eq!(woken.drain(..).count(), 5);
        }
        assert_eq!(counter.0.load(Ordering::Relaxed), 3);
    }
}

/// Model checking of thread interleavings: `MINTBENCH_SHUTTLE=1 cargo test --lib shuttle`.
#[cfg(all(test, mintbench_shuttle))]
mod shuttle_schedules {
    use shuttle::{future, thread};

    use super::*;

    const THREADS: usize = 3;
    const SCHEDULES: usize = 2000;

    #[test]
    fn shuttle_every_wake_is_delivered() {
        let schedule = || {
            let wakes = Arc::<Wakes>::default();
            let threads = [(); THREADS].map(|()| {
                let wakes = Arc::clone(&wakes);
                thread::spawn(move || wakes.add(Waker::noop().clone()))
            });
            future::block_on(async {
                let (mut count, mut woken) = (0, Vec::new());
                while count < THREADS {
                    poll_fn(|context| wakes.poll_take(&mut woken, context)).await;
                    count += woken.drain(..).count();
                }
            });
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        };
        shuttle::check_random(schedule, SCHEDULES);
        shuttle::check_pct(schedule, SCHEDULES, 3);
    }
}

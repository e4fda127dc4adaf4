//! Timers of threads that answer requests.
//!
//! With tokio's timers a thread reads the clock twice and looks for due timers whenever it waits for a request. A
//! timer of the kernel costs nothing until it is due.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A timer of the kernel (`timerfd_create(2)`).
#[derive(Debug)]
pub(crate) struct Alarm(AsyncFd<OwnedFd>);

/// Shortest time: zero would stop the timer.
const SHORTEST: Duration = Duration::from_nanos(1);

impl Alarm {
    /// Creates a timer that is not set. Call it on a thread of a runtime.
    ///
    /// # Errors
    /// Returns the system's error when the process has no file descriptor left.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[expect(deprecated, reason = "an `OwnedFd` is open as long as it is registered")]
        AsyncFd::with_interest(timer, Interest::READABLE).map(Self)
    }

    /// Creates a timer that is due at once, and then again after each `period`.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(crate) fn every(period: Duration) -> io::Result<Self> {
        let alarm = Self::new()?;
        alarm.set(SHORTEST, period)?;
        Ok(alarm)
    }

    /// Waits for `span`. Returns at once if the system refuses the timer.
    pub(crate) async fn sleep(&self, span: Duration) {
        if self.set(span.max(SHORTEST), Duration::ZERO).is_ok() {
            self.due().await;
        }
    }

    /// Waits until the timer is due. Moments that were missed count as one.
    ///
    /// # Cancel safety
    /// No moment is lost when the future is dropped.
    pub(crate) async fn due(&self) {
        let mut count = [0; 8];
        let read =
            |timer: &OwnedFd| -> io::Result<usize> { Ok(rustix::io::read(timer, &mut count)?) };
        // A timer cannot fail to be read.
        let _ = self.0.async_io(Interest::READABLE, read).await;
    }

    fn set(&self, first: Duration, period: Duration) -> io::Result<()> {
        let [it_value, it_interval] = [first, period].map(timespec);
        let times = Itimerspec { it_interval, it_value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &times)?;
        Ok(())
    }
}

fn timespec(span: Duration) -> Timespec {
    let tv_sec = i64::try_from(span.as_secs()).unwrap_or(i64::MAX);
    Timespec { tv_sec, tv_nsec: span.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn run(test: impl Future<Output = ()>) {
        // Without the timers of tokio.
        tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap().block_on(test);
    }

    #[test]
    fn an_alarm_is_due_after_its_time_and_can_be_set_again() {
        run(async {
            let [short, long] = [(); 2].map(|()| Alarm::new().unwrap());
            for span in [Duration::from_millis(1), Duration::ZERO, Duration::from_micros(1)] {
                let is_short = tokio::select! {
                    () = short.sleep(span) => true,
                    () = long.sleep(Duration::from_hours(1)) => false,
                };
                assert!(is_short);
            }
        });
    }

    #[test]
    fn a_periodic_alarm_is_due_at_once_and_again_and_a_wait_that_is_given_up_loses_nothing() {
        run(async {
            let alarm = Alarm::every(Duration::from_millis(2)).unwrap();
            for _ in 0..5 {
                let mut context = Context::from_waker(Waker::noop());
                let _ = pin!(alarm.due()).poll(&mut context);
                alarm.due().await;
            }
        });
    }
}

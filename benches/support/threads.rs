//! Timing of work on several threads at once.

use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use mintbench::base::clock::Monotonic;

/// The thread counts of contended benches.
pub(crate) const THREADS: [usize; 3] = [1, 2, 4];

/// Returns the wall time for `iters` operations shared by `threads`, from the first start to the
/// last end. With perfect scaling, each doubling of the threads halves it, as long as there are
/// enough processors.
///
/// `work` gets the number of its thread and the number of its operations.
#[expect(clippy::cast_precision_loss, reason = "counts of operations are far below 2^52")]
pub(crate) fn shared_out(threads: usize, iters: u64, work: impl Fn(usize, u64) + Sync) -> Duration {
    let (clock, start) = (Monotonic::start(), Barrier::new(threads));
    let share = iters.div_ceil(threads as u64);
    let timed = |thread| {
        start.wait();
        let begun_ns = clock.now_ns();
        work(thread, share);
        (begun_ns, clock.now_ns())
    };
    let spans: Vec<(u64, u64)> = thread::scope(|scope| {
        let spawn = |thread| scope.spawn(move || timed(thread));
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    let begun_ns = spans.iter().map(|(begun_ns, _)| *begun_ns).min().unwrap();
    let ended_ns = spans.iter().map(|(_, ended_ns)| *ended_ns).max().unwrap();
    // The shares are rounded up; the result is scaled to the requested number of operations.
    Duration::from_nanos(ended_ns - begun_ns)
        .mul_f64(iters as f64 / (share * threads as u64) as f64)
}

//! Data that the threads of a run share, and data that each of them needs before it starts.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::event::epoll;

use super::busy_period::BusyPeriod;
use super::connection::ConnectContext;
use super::dial::Dial;
use super::pool::Pool;
use super::witnesses::Witnesses;
use crate::base::clock::Monotonic;
use crate::harness::dialect::protocol::RunSpan;
use crate::harness::dialect::request::RequestWriter;
use crate::harness::dialect::target::Target;
use crate::harness::machine::stop::Stop;
use crate::harness::record::observer::Observer;
use crate::harness::record::sample::Sampler;
use crate::harness::scenario::phases::Timing;
use crate::harness::scenario::run_plan::{Origin, Pausing, RunPlan};
use crate::harness::schedule::layout::Layout;
use crate::harness::schedule::pauses::Pauses;
use crate::harness::schedule::sampling::GapSampling;
use crate::harness::schedule::timeline::Timeline;

/// Data that all threads of a run share, made before it starts.
#[derive(Debug)]
pub(super) struct RunSetup<'a> {
    pub(super) plan: &'a RunPlan,
    pub(super) target: &'a Target,
    pub(super) dial: Dial,
    pub(super) layout: Layout,
    pub(super) requests: Arc<RequestWriter>,
    pub(super) timeline: Timeline,
    pub(super) clock: Monotonic,
    pub(super) observer: Option<Observer>,
    pub(super) gaps: Option<GapSampling>,
    pub(super) busy_period: Arc<BusyPeriod>,
    pub(super) witnesses: Witnesses,
    pub(super) pauses: Pauses,
    /// Request of the user to stop.
    pub(crate) stop: &'a Stop,
    /// Set when the run can no longer succeed.
    pub(crate) abort: AtomicBool,
}

impl<'a> RunSetup<'a> {
    /// Makes the data that the threads share. No connection is made yet.
    ///
    /// # Errors
    /// Returns an error when TLS cannot be set up with the target, or when an assertion cannot be
    /// signed.
    pub(super) fn new(
        plan: &'a RunPlan,
        target: &'a Target,
        timeline: Timeline,
        observer: Option<Observer>,
        stop: &'a Stop,
    ) -> io::Result<Self> {
        let per_vm = (plan.origin == Origin::PerVm).then_some(plan.world);
        let load = timeline.wall_span(plan.warmup) + timeline.wall_span(plan.duration);
        let length = Duration::from(plan.rehearsal + load + plan.timeout) + CONNECTING;
        let requests = RequestWriter::new(
            target,
            &plan.world,
            RunSpan { begins: timeline.epoch.wall, length },
        );
        let layout = Layout::of(plan);
        Ok(Self {
            plan,
            target,
            dial: Dial::to(target, per_vm)?,
            busy_period: Arc::new(BusyPeriod::new(layout.threads())),
            layout,
            witnesses: Witnesses::of(target.url.address, &plan.cores, plan.waiting),
            pauses: Pauses::default(),
            requests: Arc::new(requests.map_err(io::Error::other)?),
            timeline,
            clock: timeline.epoch.clock,
            observer,
            gaps: GapSampling::of(&plan.workload, plan.seed),
            stop,
            abort: AtomicBool::new(false),
        })
    }

    /// Returns the number of single answers to keep of each second and thread. It is half as many again
    /// as are due at the highest rate. A stall delays some answers to the second after.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate is positive, and the room is bounded"
    )]
    pub(super) fn room(&self) -> usize {
        let Some(phases) = self.plan.workload.phases() else { return 0 };
        let rate = phases.stages().map(|phase| match &phase.timing {
            Timing::Rate(profile) => profile.peak(),
            Timing::Replay { .. } => REPLAY_PEAK * phase.mean_rate(),
        });
        let most = rate.fold(0.0, f64::max);
        ((1.5 * most) as usize + ROOM_MIN).min(ROOM_MAX)
    }

    /// Returns true if the schedule of this run may pause. Phases and turns begin at their own times,
    /// so a run that has several does not.
    pub(super) fn may_pause(&self) -> bool {
        let phases = self.plan.workload.phases().map_or(0, |phases| phases.phases.len());
        self.plan.pausing == Pausing::Witnessed && self.timeline.turn.is_none() && phases == 1
    }

    /// Returns true if the witnesses beside the generator watch this run. Those of an interleaved run
    /// would disturb the other.
    pub(super) fn is_watched(&self) -> bool {
        self.room() > 0 && self.timeline.turn.is_none()
    }

    pub(super) fn is_over(&self) -> bool {
        self.stop.is_requested() || self.abort.load(Ordering::Relaxed)
    }
}

/// Connections and memory of a thread, made before the load starts.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(super) pool: Pool,
    pub(super) epoll: OwnedFd,
    pub(super) sampler: Sampler,
}

impl Prepared {
    /// Makes the connections of this thread.
    ///
    /// # Errors
    /// Returns an error when a connection cannot be made.
    pub(super) fn new(setup: &RunSetup<'_>, thread: usize) -> io::Result<Self> {
        let RunSetup { plan, layout, stop, .. } = setup;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let context = ConnectContext {
            dial: &setup.dial,
            requests: &setup.requests,
            epoll: &epoll,
            clock: setup.clock,
        };
        let pool = Pool::connect(layout.sets(thread), &context, stop)?;
        let seed = plan.seed.wrapping_add(thread as u64);
        Ok(Self {
            pool,
            epoll,
            sampler: Sampler::new(plan.samples, plan.classes.of_tokens(), seed),
        })
    }
}

/// More time than all connections take. Assertions remain valid for it, in addition to the run.
const CONNECTING: Duration = Duration::from_mins(10);
/// Room for single answers beyond those that the rate needs.
const ROOM_MIN: usize = 4096;
/// Highest rate that is expected of a replayed trace, as a multiple of its mean.
const REPLAY_PEAK: f64 = 4.0;
/// Most room of one thread and second: 10 MB. A heavier load has no undisturbed view.
const ROOM_MAX: usize = 400_000;

//! One measurement from start to end: the target, the load, the counters, the checks.

use std::fmt;
use std::sync::atomic::AtomicBool;

use hdrhistogram::Histogram;

use super::fetch::FetchError;
use super::fleet::{self, LoadError, Measured, Progress};
use super::generator::Plan;
use super::host::CpuTicks;
use super::metrics::Counters;
use super::recorder::{IntervalSink, Latencies, histogram};
use super::serve_process::{ServeError, ServeProcess};
use super::target::HttpUrl;
use super::validity::{self, Evidence, Reason, Shape};
use super::verify::{Identities, Keys, KeysError, Verdict, verify};
use super::workload::Workload;
use crate::clock::Clock;
use crate::world::synthetic::Synthetic;

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The broker's counters cannot be read.
    #[error("cannot read the broker's counters")]
    Counters(#[source] FetchError),
    /// There are no keys to verify with.
    #[error("cannot verify the answers")]
    Keys(#[source] KeysError),
    /// The load did not come about.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// There is no broker.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// What is measured.
#[derive(Debug)]
pub enum Subject {
    /// A broker of our own, in a child process.
    Broker {
        /// The process; it ends with this value.
        process: ServeProcess,
        /// Its token endpoint.
        imds: HttpUrl,
        /// Its token service, which publishes the keys.
        sts: HttpUrl,
        /// Its counters.
        admin: HttpUrl,
    },
    /// Some other token endpoint.
    Foreign {
        /// Where it is.
        target: HttpUrl,
        /// Where its keys are published, if that is known.
        jwks: Option<HttpUrl>,
    },
}

impl Subject {
    /// Starts a broker of this world on this core.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start(
        world: &Synthetic,
        core: Option<usize>,
        extra: &[String],
    ) -> Result<Self, SessionError> {
        let process = ServeProcess::start(world, core, extra)?;
        let [imds, sts, admin] = ["imds", "sts", "admin"].map(|name| process.endpoint(name));
        Ok(Self::Broker { imds: imds?, sts: sts?, admin: admin?, process })
    }

    /// Where requests go.
    pub const fn target(&self) -> &HttpUrl {
        match self {
            Self::Broker { imds, .. } => imds,
            Self::Foreign { target, .. } => target,
        }
    }

    fn counters(&self) -> Result<Option<Counters>, SessionError> {
        match self {
            Self::Broker { admin, .. } => {
                Counters::read(admin).map(Some).map_err(SessionError::Counters)
            }
            Self::Foreign { .. } => Ok(None),
        }
    }

    fn keys(&self, world: &Synthetic) -> Result<Option<Keys>, SessionError> {
        let keys = match self {
            Self::Broker { sts, .. } => Some(Keys::of_tenant(sts, world)),
            Self::Foreign { jwks, .. } => jwks.as_ref().map(Keys::read),
        };
        keys.transpose().map_err(SessionError::Keys)
    }
}

/// What the broker itself counted.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// From the start of the measured part to the end of the last request.
    pub measured: Counters,
    /// From before the load to the end, warm-up included.
    pub whole: Counters,
}

/// The result of a session.
#[derive(Debug)]
pub struct Outcome {
    /// What the generator measured.
    pub measured: Measured,
    /// All classes together.
    pub all: Latencies,
    /// What the broker counted; none for a foreign target.
    pub broker: Option<Counted>,
    /// What verification found; none without keys.
    pub verdict: Option<Verdict>,
    /// The share of the machine's time that the hypervisor took.
    pub steal_share: f64,
    /// Requests written per second of the measured part; none for bursts.
    pub rate_achieved: Option<f64>,
    /// Why the run is invalid, if it is.
    pub reasons: Vec<Reason>,
    /// Checks that failed.
    pub failures: Vec<Failure>,
}

/// A check that failed: the target does not do what it must.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// Sampled answers were wrong.
    Answers(Verdict),
    /// A herd did not end in exactly one mint.
    HerdMints {
        /// Herds that ran.
        herds: u32,
        /// Tokens minted meanwhile.
        mints: f64,
    },
    /// A run in which every request has a key of its own did not mint for each.
    MintCounts {
        /// The broker's counters.
        counted: Counters,
        /// Tokens that came back.
        tokens: u64,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answers(verdict) => write!(
                f,
                "of {} sampled answers, {} had a bad signature, {} a wrong identity, {} a wrong audience, {} had expired",
                verdict.sampled,
                verdict.bad_signature,
                verdict.wrong_identity.unwrap_or(0),
                verdict.wrong_audience,
                verdict.expired
            ),
            Self::HerdMints { herds, mints } => {
                write!(
                    f,
                    "{herds} herds, each on one cold key, led to {mints} mints instead of {herds}"
                )
            }
            Self::MintCounts { counted, tokens } => write!(
                f,
                "every request had a new key, but {tokens} tokens came with {} hits, {} misses and {} mints",
                counted.hits,
                counted.misses,
                counted.foreground_mints()
            ),
        }
    }
}

/// Runs `plan` against `subject` and judges what came of it.
///
/// # Errors
/// [`SessionError`] when there is no result; an invalid run or a failed check is a result.
pub fn measure(
    plan: &Plan,
    subject: &Subject,
    clock: &dyn Clock,
    stop: &AtomicBool,
    output: (&mut dyn IntervalSink, &mut dyn FnMut(Progress)),
) -> Result<Outcome, SessionError> {
    let (sink, observe) = output;
    let before = subject.counters()?;
    let mut warm = before;
    let mut ticks = CpuTicks::read();
    let measured = fleet::run(plan, sink, stop, &mut |progress| {
        if matches!(progress, Progress::Measuring) {
            ticks = CpuTicks::read();
            // A failure here shows again, and is reported, after the run.
            warm = subject.counters().ok().flatten().or(before);
        }
        observe(progress);
    })?;
    let steal_share = CpuTicks::read().steal_share_since(&ticks);
    let after = subject.counters()?;
    let broker = after.zip(before.zip(warm)).map(|(after, (before, warm))| Counted {
        measured: after.since(&warm),
        whole: after.since(&before),
    });
    let verdict = verdict(plan, subject, &measured, clock)?;
    let all = all_classes(&measured);
    let shape = shape(plan, &measured);
    let reasons = validity::judge(&Evidence {
        shape,
        unsent: measured.unsent,
        lag: &all.lag,
        service: &all.service,
        response: &all.response,
        hiccup: &measured.hiccup,
        busy_share: measured.busy_share,
        steal_share,
    });
    let failures = failures(plan, &measured, broker.as_ref(), verdict);
    let rate_achieved = match shape {
        Shape::Bursts { .. } => None,
        Shape::Rate { achieved, .. } => Some(achieved),
    };
    Ok(Outcome { measured, all, broker, verdict, steal_share, rate_achieved, reasons, failures })
}

fn verdict(
    plan: &Plan,
    subject: &Subject,
    measured: &Measured,
    clock: &dyn Clock,
) -> Result<Option<Verdict>, SessionError> {
    let identities = match subject {
        Subject::Broker { .. } => Identities::Of(&plan.world),
        Subject::Foreign { .. } => Identities::Unknown,
    };
    let keys = subject.keys(&plan.world)?;
    Ok(keys.map(|keys| verify(&measured.samples, &keys, identities, clock.now())))
}

fn all_classes(measured: &Measured) -> Latencies {
    let mut all =
        Latencies { response: histogram(), service: histogram(), lag: histogram(), errors: 0 };
    let add = |into: &mut Histogram<u64>, from: &Histogram<u64>| {
        // Equal bounds: adding cannot fail.
        let _ = into.add(from);
    };
    for (_, class) in measured.totals.whole.seen() {
        add(&mut all.response, &class.response);
        add(&mut all.service, &class.service);
        add(&mut all.lag, &class.lag);
        all.errors += class.errors;
    }
    all
}

#[expect(clippy::cast_precision_loss, reason = "counts and times are far below 2^53")]
fn shape(plan: &Plan, measured: &Measured) -> Shape {
    let pace = match plan.workload {
        Workload::Herd(herds) => return Shape::Bursts { gap_ns: herds.gap_ns },
        Workload::Mint(pace) | Workload::Steady(pace) => pace,
    };
    let seconds = plan.duration_ns as f64 / 1e9;
    Shape::Rate {
        target: pace.rate,
        achieved: measured.tally.sent as f64 / seconds,
        count: pace.rate * seconds,
    }
}

fn failures(
    plan: &Plan,
    measured: &Measured,
    broker: Option<&Counted>,
    verdict: Option<Verdict>,
) -> Vec<Failure> {
    let mut failures = Vec::new();
    failures.extend(verdict.filter(|verdict| verdict.faults() > 0).map(Failure::Answers));
    let Some(Counted { whole, .. }) = broker else { return failures };
    match plan.workload {
        Workload::Herd(herds) if !equal(whole.foreground_mints(), u64::from(herds.herds)) => {
            failures
                .push(Failure::HerdMints { herds: herds.herds, mints: whole.foreground_mints() });
        }
        Workload::Mint(_) => {
            let tokens = measured.tally.tokens;
            let each = [whole.misses, whole.foreground_mints()]
                .into_iter()
                .all(|count| equal(count, tokens));
            if !each || !equal(whole.hits, 0) {
                failures.push(Failure::MintCounts { counted: *whole, tokens });
            }
        }
        Workload::Herd(_) | Workload::Steady(_) => {}
    }
    failures
}

/// Whether a counter, which travels as a decimal number, is this integer.
#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn equal(counter: f64, count: u64) -> bool {
    (counter - count as f64).abs() < 0.5
}

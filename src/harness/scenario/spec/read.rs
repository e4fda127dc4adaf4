//! Reads the text of a scenario file, or lists everything that is wrong with it.

use std::path::Path;
use std::time::Duration;

use super::bounds::{DAY, DURATIONS, RATE_MAX, is_replay_speed};
use super::catalog::Scenario;
use super::format::{
    Broker, BurstsEntry, File, KindName, MixEntry, PhaseEntry, ProfileEntry, Ramp, SourceState,
    Throttle,
};
use super::refusal::{ScenarioError, SpecError};
use super::run_spec::{ChangeSpec, PhaseSpec, Rate, RunSpec};
use crate::base::files;
use crate::base::files::TRACE_BYTES_MAX;
use crate::base::synthetic::WELL_KNOWN_RESOURCES;
use crate::base::toml_file;
use crate::harness::nanos::Nanos;
use crate::harness::scenario::mix::{Kind, Share};
use crate::harness::scenario::objective::Objective;
use crate::harness::scenario::profile::Bursts;
use crate::harness::scenario::replay::{Trace, resource_index};
use crate::harness::scenario::run_plan::{Bounds, Pausing};

/// Maximum number of phases. Each takes some megabytes of histograms on each thread.
const PHASES_MAX: usize = 20;
const STEPS_MAX: usize = 1000;
const BURSTS_MAX: u64 = 100_000;
/// Minimum length of a burst: shorter ones are single requests.
const BURST_MIN: Duration = Duration::from_millis(1);
/// Maximum exponent of the popularity law: a sharper law leaves one VM.
const EXPONENT_MAX: f64 = 10.0;
const REPEAT_MAX: u32 = 1_000_000;
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
const SAMPLES_DEFAULT: usize = 1000;
/// Default share of requests that may fail: a foreign target may have a limit of its own.
const ERRORS_MAX_DEFAULT: f64 = 0.01;

impl RunSpec {
    /// Reads the definition of a scenario.
    ///
    /// # Errors
    /// Returns [`SpecError::Scenario`], which names the file, each faulty key and what to write.
    pub(crate) fn read(scenario: Scenario) -> Result<Self, SpecError> {
        let text = scenario.source().map_err(ScenarioError::from)?;
        Ok(Self::parse(scenario, &text)?)
    }

    /// Parses `text` as the file of `scenario`.
    pub(crate) fn parse(scenario: Scenario, text: &str) -> Result<Self, ScenarioError> {
        let toml_file::Read { value, faults } = toml_file::read::<File>(text);
        let name = scenario.to_string();
        let problems = faults.iter().map(|fault| fault.of_file(&name)).collect();
        let mut reader = Reader { folder: scenario.folder(), problems };
        let phases = value.as_ref().map(|file| reader.file(file)).transpose()?;
        let problems = reader.problems;
        match value.zip(phases).filter(|_| problems.is_empty()) {
            Some((file, phases)) => Ok(spec(scenario, file, phases)),
            None => Err(ScenarioError::Problems { name, problems }),
        }
    }
}

/// Phases and their objectives.
#[derive(Default)]
struct Phases {
    phases: Vec<PhaseSpec>,
    objectives: Vec<Objective>,
}

fn spec(scenario: Scenario, file: File, phases: Phases) -> RunSpec {
    RunSpec {
        scenario,
        target: None,
        warmup: file.warmup.0,
        warmup_rate: file.warmup_rate,
        limit: file.throttle.map(|throttle| throttle.identity),
        serve_args: serve_args(&file),
        extra_serve_args: Vec::new(),
        tuned: !file.broker.arguments.is_empty(),
        token_lifetime: file.broker.token_lifetime.map(|span| span.0),
        expect: file.expect,
        objectives: phases.objectives,
        phases: phases.phases,
        herd: file.herd,
        changes: file.changes,
        world: file.world,
        connections: file.connections,
        threads: None,
        cores: Vec::new(),
        timeout: TIMEOUT_DEFAULT,
        bounds: Bounds::default(),
        pausing: Pausing::Never,
        pacer_test: Duration::ZERO,
        samples: SAMPLES_DEFAULT,
        errors_max: ERRORS_MAX_DEFAULT,
        seed: 1,
    }
}

fn serve_args(file: &File) -> Vec<String> {
    let broker = &file.broker;
    let lifetime = broker.token_lifetime.map(|span| humantime::format_duration(span.0).to_string());
    let refresh = broker.refresh_at.map(|part| part.to_string());
    let limit = file.throttle.map(|Throttle { identity }| format!("identity={identity}/s"));
    let flags = [("--token-lifetime", lifetime), ("--refresh-at", refresh), ("--throttle", limit)];
    let given = flags.into_iter().filter_map(|(flag, value)| Some([flag.to_owned(), value?]));
    given.flatten().chain(broker.arguments.iter().cloned()).collect()
}

struct Reader<'a> {
    folder: &'a Path,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// Returns the phases, and notes everything that is wrong with the file.
    fn file(&mut self, file: &File) -> Result<Phases, ScenarioError> {
        self.check_file(file);
        let mut read = Phases::default();
        for (index, entry) in file.phase.iter().enumerate() {
            read.phases.push(self.phase(entry)?);
            read.objectives.extend(self.objectives(index, entry));
        }
        self.check_names_and_outage(file, &read.phases);
        self.check_phases(file, &read.phases);
        Ok(read)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "the condition, as of an assertion")]
    fn demand(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }

    fn check_file(&mut self, file: &File) {
        self.demand(file.herd.is_some() == file.phase.is_empty(), || {
            "there must be either [[phase]] or [herd]; write one of them".to_owned()
        });
        if file.herd.is_some() {
            self.check_herd(file);
        }
        self.demand(file.phase.len() <= PHASES_MAX, || {
            format!("there are {} [[phase]]; write {PHASES_MAX} at most", file.phase.len())
        });
        self.demand(file.warmup.0 <= DAY, || "`warmup` is above 24h".to_owned());
        if let Some(rate) = file.warmup_rate {
            self.rate("`warmup-rate`", rate);
            self.demand(rate > 0.0, || "`warmup-rate` is 0; write `warmup = \"0s\"`".to_owned());
        }
        self.check_counts(file);
        self.check_broker(&file.broker);
    }

    fn check_counts(&mut self, file: &File) {
        let counts = match file.changes {
            Some(ChangeSpec::Churn { per_second }) => ("changes.churn: `per-second`", per_second),
            Some(ChangeSpec::Rotate { rotations }) => ("changes.rotate: `rotations`", rotations),
            None => ("", None),
        };
        for (key, count) in [counts, ("`connections`", file.connections)] {
            self.demand(count != Some(0), || {
                format!("{key} is 0; write 1 or more, or leave it out")
            });
        }
    }

    fn check_broker(&mut self, broker: &Broker) {
        if let Some(part) = broker.refresh_at {
            self.demand((0.0..=1.0).contains(&part), || {
                format!("broker: `refresh-at` is {part}; write a part of a token's life, 0 to 1")
            });
        }
        self.demand(broker.token_lifetime.is_none_or(|span| span.0.as_secs() >= 1), || {
            "broker: `token-lifetime` is below a second; write 1s or more".to_owned()
        });
        let own = ["--token-lifetime", "--refresh-at", "--synthetic", "--world", "--cpus"];
        let taken = |argument: &&String| own.iter().any(|flag| argument.starts_with(flag));
        if let Some(argument) = broker.arguments.iter().find(taken) {
            let problem = format!(
                "broker: `arguments` has {argument}, which is set elsewhere; use the keys `token-lifetime`, `refresh-at` and [world]"
            );
            self.problems.push(problem);
        }
    }

    fn check_herd(&mut self, file: &File) {
        let others = [
            ("warmup", !file.warmup.0.is_zero()),
            ("warmup-rate", file.warmup_rate.is_some()),
            ("changes", file.changes.is_some()),
            ("expect", !file.expect.is_empty()),
            ("throttle", file.throttle.is_some()),
            ("broker", !serve_args(file).is_empty()),
            ("connections", file.connections.is_some()),
        ];
        for (key, given) in others {
            self.demand(!given, || format!("`{key}` does not go with [herd]; leave it out"));
        }
    }

    /// Checks the names of the phases, and the outage among them.
    fn check_names_and_outage(&mut self, file: &File, phases: &[PhaseSpec]) {
        for (index, phase) in phases.iter().enumerate() {
            let earlier = phases.iter().take(index).any(|other| other.name == phase.name);
            self.demand(!earlier, || {
                format!("two phases have the `name` \"{}\"; write another", phase.name)
            });
        }
        let down = phases.iter().filter(|phase| phase.source_down).count();
        self.demand(down <= 1, || {
            "several phases have `source = \"down\"`; write it in one".to_owned()
        });
        self.demand(down == 0 || file.changes.is_none(), || {
            "`source = \"down\"` does not go with [changes]; leave one out".to_owned()
        });
    }

    /// Checks that the phases go with the changes and with each other.
    fn check_phases(&mut self, file: &File, phases: &[PhaseSpec]) {
        let rotates = matches!(file.changes, Some(ChangeSpec::Rotate { .. }));
        let tuned = file.broker.token_lifetime.is_some() || file.broker.refresh_at.is_some();
        self.demand(!rotates || !tuned, || {
            "[changes.rotate] sets `token-lifetime` and `refresh-at` itself; leave them out"
                .to_owned()
        });
        let replays = phases.iter().any(|phase| matches!(phase.rate, Rate::Replay { .. }));
        let new = phases.iter().flat_map(|phase| &phase.mix).any(Share::is_new);
        self.demand(!(replays && new), || {
            "`replay` may ask for any key, so that \"mint\" and \"herd\" would not ask for new ones; leave one out".to_owned()
        });
        let total =
            phases.iter().fold(Duration::ZERO, |sum, phase| sum.saturating_add(phase.duration));
        self.demand(total <= DAY, || "the phases are above 24h together".to_owned());
        let changed = matches!(file.changes, Some(ChangeSpec::Churn { .. }));
        self.demand(!(changed && new), || {
            "[changes.churn] does not go with \"mint\" and \"herd\"; leave one out".to_owned()
        });
    }

    fn phase(&mut self, entry: &PhaseEntry) -> Result<PhaseSpec, ScenarioError> {
        let name = &entry.name;
        let at = format!("phase \"{name}\"");
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        self.demand(!name.is_empty() && name.chars().all(plain), || {
            format!("{at}: `name` is for files and tables; write letters, digits, - _ and . only")
        });
        let rate = self.profile(&at, &entry.profile)?;
        let duration = self.duration(&at, entry, &rate);
        self.check_burst_count(&at, &rate, duration);
        self.demand(!entry.mix.is_empty(), || {
            format!("{at}: `mix` is empty; write [[phase.mix]] with a `kind`")
        });
        let mix = entry.mix.iter().map(|mix| self.share(&at, mix)).collect();
        Ok(PhaseSpec {
            name: name.clone(),
            duration,
            arrivals: entry.arrivals,
            rate,
            mix,
            source_down: entry.source == Some(SourceState::Down),
        })
    }

    fn check_burst_count(&mut self, at: &str, rate: &Rate, duration: Duration) {
        let Rate::Bursts(Bursts { on, off, .. }) = rate else { return };
        let count = Nanos::from(duration) / on.saturating_add(*off).max(Nanos::new(1));
        self.demand(count <= BURSTS_MAX, || {
            format!("{at}: `profile.bursts` has {count} bursts; write {BURSTS_MAX} at most")
        });
    }

    /// Returns the objectives of phase number `index`.
    fn objectives(&mut self, index: usize, entry: &PhaseEntry) -> Vec<Objective> {
        let name = &entry.name;
        let mut objectives = Vec::new();
        for text in &entry.slo {
            match text.parse::<Objective>() {
                Ok(objective) => objectives.push(objective.of_phase(index, name)),
                Err(error) => {
                    self.problems.push(format!("phase \"{name}\": `slo`: {error}"));
                }
            }
        }
        objectives
    }

    fn duration(&mut self, at: &str, entry: &PhaseEntry, rate: &Rate) -> Duration {
        let replayed = match rate {
            Rate::Replay { trace, speed } => {
                // Rounded up to a whole second, because the end is not part of a phase.
                let seconds = Duration::from(trace.length()).as_secs_f64() / speed;
                Some(Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(DAY))
            }
            _ => None,
        };
        let duration = entry.duration.map(|span| span.0).or(replayed);
        self.demand(duration.is_some(), || {
            format!("{at}: `duration` is missing; write one like \"30s\"")
        });
        let duration = duration.unwrap_or(DAY);
        self.demand(DURATIONS.contains(&duration), || {
            let duration = humantime::format_duration(duration);
            format!("{at}: `duration` is {duration}; write 100ms to 24h")
        });
        duration
    }

    fn rate(&mut self, what: &str, rate: f64) {
        self.demand((0.0..=RATE_MAX).contains(&rate), || {
            format!("{what} is {rate}; write requests per second, 0 to {RATE_MAX}")
        });
    }

    /// Returns the profile of a phase, which must give exactly one.
    fn profile(&mut self, at: &str, entry: &ProfileEntry) -> Result<Rate, ScenarioError> {
        let ProfileEntry { rate, ramp, steps, bursts, replay, speed } = entry;
        let given =
            [rate.is_some(), ramp.is_some(), steps.is_some(), bursts.is_some(), replay.is_some()];
        self.demand(given.into_iter().filter(|given| *given).count() == 1, || {
            format!("{at}: `profile` needs one of rate, ramp, steps, bursts and replay; write {{ rate = 5000 }}")
        });
        self.demand(speed.is_none() || replay.is_some(), || {
            format!("{at}: `profile.speed` goes with replay; leave it out")
        });
        if let Some(path) = replay {
            return self.replay(at, path, speed.unwrap_or(1.0));
        }
        if let Some(Ramp { from, to }) = *ramp {
            self.rate(&format!("{at}: `profile.ramp.from`"), from);
            self.rate(&format!("{at}: `profile.ramp.to`"), to);
            self.positive(&format!("{at}: `profile.ramp`"), from.max(to));
            return Ok(Rate::Ramp { from, to });
        }
        if let Some(steps) = steps {
            return Ok(self.steps(at, steps));
        }
        if let Some(bursts) = bursts {
            return Ok(self.bursts(at, bursts));
        }
        let rate = rate.unwrap_or(1.0);
        self.rate(&format!("{at}: `profile.rate`"), rate);
        self.positive(&format!("{at}: `profile.rate`"), rate);
        Ok(Rate::Constant(rate))
    }

    fn steps(&mut self, at: &str, steps: &[f64]) -> Rate {
        self.demand((1..=STEPS_MAX).contains(&steps.len()), || {
            format!("{at}: `profile.steps` has {} rates; write 1 to {STEPS_MAX}", steps.len())
        });
        for rate in steps {
            self.rate(&format!("{at}: `profile.steps`"), *rate);
        }
        let highest = steps.iter().copied().fold(0.0, f64::max);
        self.positive(&format!("{at}: `profile.steps`"), highest);
        Rate::Steps(steps.to_vec())
    }

    fn bursts(&mut self, at: &str, bursts: &BurstsEntry) -> Rate {
        let what = format!("{at}: `profile.bursts");
        self.rate(&format!("{what}.rate`"), bursts.rate);
        self.rate(&format!("{what}.base`"), bursts.base);
        self.positive(&format!("{what}.rate`"), bursts.rate);
        for (key, span) in [("on", bursts.on.0), ("off", bursts.off.0)] {
            self.demand((BURST_MIN..=DAY).contains(&span), || {
                let span = humantime::format_duration(span);
                format!("{what}.{key}` is {span}; write 1ms to 24h")
            });
        }
        let [on, off] = [bursts.on.0, bursts.off.0].map(Nanos::from);
        Rate::Bursts(Bursts { rate: bursts.rate, base: bursts.base, on, off })
    }

    fn positive(&mut self, what: &str, rate: f64) {
        self.demand(rate != 0.0, || format!("{what} is 0 throughout; write a rate above 0"));
    }

    fn replay(&mut self, at: &str, path: &Path, speed: f64) -> Result<Rate, ScenarioError> {
        self.demand(is_replay_speed(speed), || {
            format!("{at}: `profile.speed` is {speed}; write 0.001 to 1000")
        });
        let path = self.folder.join(path);
        let text = files::read_text(&path, TRACE_BYTES_MAX).map_err(ScenarioError::ReadTrace)?;
        let trace = Trace::parse(&path.display().to_string(), &text)?;
        Ok(Rate::Replay { trace, speed })
    }

    fn share(&mut self, at: &str, entry: &MixEntry) -> Share {
        let name = entry.kind;
        let at = format!("{at}: mix \"{}\"", name.as_str());
        self.demand(entry.weight > 0.0 && entry.weight.is_finite(), || {
            format!("{at}: `weight` is {}; write a number above 0", entry.weight)
        });
        self.check_used_keys(&at, entry);
        let exponent = entry.exponent.unwrap_or(1.0);
        self.demand((0.0..=EXPONENT_MAX).contains(&exponent), || {
            format!("{at}: `exponent` is {exponent}; write 0 (all alike) to {EXPONENT_MAX}")
        });
        self.check_repeats(&at, entry);
        let resource = entry.resource.as_deref().map_or(Some(0), resource_index);
        self.demand(resource.is_some(), || {
            format!("{at}: `resource` is unknown; write one of {}", WELL_KNOWN_RESOURCES.join(", "))
        });
        let kind = match name {
            KindName::Boot => Kind::Turn { repeat: entry.repeat.unwrap_or(1) },
            KindName::Herd => Kind::New { repeat: entry.callers.unwrap_or(1) },
            KindName::Hit => Kind::Popular { exponent },
            KindName::Mint => Kind::New { repeat: 1 },
            KindName::Uniform => Kind::Popular { exponent: 0.0 },
        };
        let identities = entry.identities.unwrap_or_default();
        Share { weight: entry.weight, kind, identities, resource: resource.unwrap_or(0) }
    }

    /// Refuses keys that the kind of the share does not use.
    fn check_used_keys(&mut self, at: &str, entry: &MixEntry) {
        let name = entry.kind;
        let new = matches!(name, KindName::Herd | KindName::Mint);
        for (key, given, used) in [
            ("exponent", entry.exponent.is_some(), name == KindName::Hit),
            ("repeat", entry.repeat.is_some(), name == KindName::Boot),
            ("callers", entry.callers.is_some(), name == KindName::Herd),
            ("identities", entry.identities.is_some(), !new),
            ("resource", entry.resource.is_some(), !new),
        ] {
            self.demand(!given || used, || format!("{at} does not use `{key}`; leave it out"));
        }
    }

    /// Checks how many requests ask for the same key in a row.
    fn check_repeats(&mut self, at: &str, entry: &MixEntry) {
        for (key, count) in [("repeat", entry.repeat), ("callers", entry.callers)] {
            self.demand(count.is_none_or(|count| (1..=REPEAT_MAX).contains(&count)), || {
                format!("{at}: `{key}` is {}; write 1 to {REPEAT_MAX}", count.unwrap_or(0))
            });
        }
        self.demand(entry.kind != KindName::Herd || entry.callers.is_some(), || {
            format!("{at}: `callers` is missing; write how many ask for each new key")
        });
    }
}

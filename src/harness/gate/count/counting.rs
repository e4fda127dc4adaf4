//! Counts the work of one build: starts it under Valgrind, sends requests, and reads the counts.
//!
//! The work per request is the difference between a long and a short load, divided by their difference in
//! requests. What does not depend on the number of requests cancels. Each load is repeated, and the one with
//! the least work counts: work of another cause, such as timers, can only be added.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::load::{Caller, LoadError, Requests};
use super::profile::Profile;
use super::server::{Kind, Server, StartError, has_children};
use super::trace::{Tally, tallies};
use super::valgrind::{Callgrind, Tracer, ValgrindError};
use crate::harness::class::Class;
use crate::harness::document::count::Work;
use crate::harness::machine::stop::Stop;

/// Reasons why a build was not counted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CountError {
    /// There is no folder for the files of Valgrind.
    #[error("cannot make a folder for the counts")]
    Folder(#[source] std::io::Error),
    /// The server did not start.
    #[error("the server did not start under Valgrind{}", of_messages(.said.as_deref()))]
    Start {
        /// The last message of the server, or of Valgrind.
        said: Option<String>,
        /// The cause.
        source: StartError,
    },
    /// A request was not answered as it should be.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Loads were sent, and not all of them were counted.
    #[error(
        "the requests of class `{class}` were counted in {counted} of {expected} loads; count again, and report it if that repeats"
    )]
    Loads {
        /// Class of the requests.
        class: Class,
        /// Number of loads that were counted.
        counted: usize,
        /// Number of loads that were sent.
        expected: usize,
    },
    /// Valgrind failed.
    #[error(transparent)]
    Valgrind(#[from] ValgrindError),
    /// The user interrupted.
    #[error("interrupted")]
    Interrupted,
}

fn of_messages(said: Option<&str>) -> String {
    said.map_or(String::new(), |said| format!(" (it said `{said}`)"))
}

impl CountError {
    /// Returns true if the server itself failed, and not the machine or the user.
    pub(crate) const fn is_of_server(&self) -> bool {
        matches!(self, Self::Load(error) if error.is_of_server())
    }
}

/// Instructions per request of one function: its own, and with all that it calls.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct FunctionCost {
    /// Instructions of the function itself.
    pub(crate) own: f64,
    /// Instructions of the function and of all that it calls.
    pub(crate) inclusive: f64,
}

/// Work per request of one process.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Counts {
    /// Work of each class.
    pub(crate) work: BTreeMap<(Class, Work), f64>,
    /// Instructions of each class by function.
    pub(crate) functions: BTreeMap<Class, BTreeMap<String, FunctionCost>>,
    /// True if most functions have no name.
    pub(crate) nameless: bool,
    /// True if the process has started others, whose work is not counted.
    pub(crate) has_children: bool,
}

/// Numbers of requests of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lengths {
    /// Requests that come first, and are not counted.
    first: u32,
    short: u32,
    long: u32,
    /// Number of loads of each length.
    rounds: u32,
}

impl Lengths {
    /// Lengths for Callgrind. Even beside a neighbour a load takes less than a second, so that of several loads one is
    /// over before a broker does what it does once a second. A signature takes as many instructions as a hundred
    /// other answers, so that few do.
    const fn of_instructions(class: Class) -> Self {
        match class {
            Class::Miss => Self { first: 4, short: 4, long: 20, rounds: 5 },
            _ => Self { first: 8, short: 20, long: 120, rounds: 5 },
        }
    }

    /// Lengths for traces, which are exact, but write hundreds of lines for each request.
    ///
    /// A load is one request. Some requests meet a timer of the broker. And under Valgrind it is chance whether the
    /// thread that answers already waits when the thread that signs has finished, and wakes it with two calls more. So
    /// the least of many requests counts.
    const fn of_traces() -> Self {
        Self { first: 4, short: 0, long: 1, rounds: 48 }
    }

    const fn requests(self) -> u32 {
        self.first + (self.short + self.long) * self.rounds
    }

    /// Returns the loads that are counted, in their order.
    fn loads(self) -> impl Iterator<Item = u32> {
        (0..self.rounds).flat_map(move |_| [self.short, self.long])
    }

    /// Checks that all loads of a class were counted. One that is missing would look like one without work.
    fn check(self, class: Class, counted: usize) -> Result<(), CountError> {
        let expected = self.loads().count();
        if counted < expected {
            return Err(CountError::Loads { class, counted, expected });
        }
        Ok(())
    }

    /// Returns the work per request, from that of all loads.
    fn per_request(self, work: &[u64]) -> f64 {
        let least = |place: usize| work.iter().skip(place).step_by(2).min().copied();
        let (short, long) = (least(0).unwrap_or_default(), least(1).unwrap_or_default());
        self.share(short, long).max(0.0)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn share(self, short: u64, long: u64) -> f64 {
        (long as f64 - short as f64) / f64::from(self.long.saturating_sub(self.short).max(1))
    }
}

/// Returns how many misses a count asks for, and thus identities that the virtual machine needs.
pub(crate) const fn misses() -> u32 {
    let (counted, traced) = (Lengths::of_instructions(Class::Miss), Lengths::of_traces());
    let (counted, traced) = (counted.requests(), traced.requests());
    // Some are asked for before the counting begins.
    FIRST + if counted > traced { counted } else { traced }
}

/// Requests of each class before counting begins: they open the connection, load libraries, and fill pools.
const FIRST: u32 = 8;

/// Build that is counted.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    /// Kind of server.
    pub(crate) kind: &'a Kind,
    /// Executable.
    pub(crate) program: &'a Path,
    /// Stop request of the user.
    pub(crate) stop: &'a Arc<Stop>,
}

impl Counting<'_> {
    /// Counts all work of one process of each tool.
    ///
    /// # Errors
    /// Returns [`CountError`] when the build cannot be counted, or does not answer as it should.
    pub(crate) fn count(&self) -> Result<Counts, CountError> {
        let mut counts = self.instructions()?;
        counts.work.extend(self.calls()?);
        Ok(counts)
    }

    fn instructions(&self) -> Result<Counts, CountError> {
        let folder = folder()?;
        let mut callgrind = Callgrind::in_folder(folder.path().to_owned());
        let requests = self.kind.requests();
        let (server, mut caller) = self.start(&callgrind.prefix(), folder.path(), &requests)?;
        let pid = server.pid();
        callgrind.begin(pid)?;
        let mut counts = Counts::default();
        for class in requests.classes() {
            let lengths = Lengths::of_instructions(*class);
            self.send(&mut caller, *class, lengths.first)?;
            callgrind.zero(pid)?;
            let mut profiles = Vec::new();
            for load in lengths.loads() {
                self.send(&mut caller, *class, load)?;
                profiles.push(callgrind.take(pid)?);
            }
            counts.add(*class, lengths, &profiles)?;
        }
        counts.has_children = has_children(pid);
        server.kill();
        Ok(counts)
    }

    fn calls(&self) -> Result<BTreeMap<(Class, Work), f64>, CountError> {
        let folder = folder()?;
        let tracer = Tracer::in_folder(folder.path().to_owned());
        let requests = self.kind.requests();
        let (server, mut caller) = self.start(&tracer.prefix(), folder.path(), &requests)?;
        let mut ends = Vec::new();
        for class in requests.classes() {
            let lengths = Lengths::of_traces();
            for load in [lengths.first].into_iter().chain(lengths.loads()) {
                self.send(&mut caller, *class, load)?;
                ends.push(tracer.length()?);
            }
        }
        server.kill();
        let tallies = tallies(&tracer.log()?, &ends);
        let (mut rest, mut work) = (tallies.into_iter(), BTreeMap::new());
        for class in requests.classes() {
            let lengths = Lengths::of_traces();
            // The first of each class belongs to the start, or to the requests that come first.
            let loads = rest.by_ref().take(1 + lengths.loads().count()).skip(1);
            work.extend(of_traces(*class, lengths, &loads.collect::<Vec<_>>())?);
        }
        Ok(work)
    }

    /// Starts the server, and has it answer the first requests of each class.
    fn start<'a>(
        &self,
        prefix: &[OsString],
        folder: &Path,
        requests: &'a Requests,
    ) -> Result<(Server, Caller<'a>), CountError> {
        let messages = folder.join("messages");
        let file = File::create(&messages).map_err(CountError::Folder)?;
        let started = self.kind.start(self.program, prefix, file, self.stop);
        let (server, url) = started.map_err(|source| CountError::Start {
            said: last_line(&[messages, folder.join("log")]),
            source,
        })?;
        let mut caller = Caller::new(requests, url, server.pid());
        for class in requests.classes() {
            // A hit is a repeated question: the first one is a miss.
            caller.prepare(*class)?;
            self.send(&mut caller, *class, FIRST)?;
        }
        Ok((server, caller))
    }

    fn send(&self, caller: &mut Caller<'_>, class: Class, count: u32) -> Result<(), CountError> {
        if self.stop.is_requested() {
            return Err(CountError::Interrupted);
        }
        Ok(caller.send(class, count)?)
    }
}

fn folder() -> Result<tempfile::TempDir, CountError> {
    tempfile::Builder::new().prefix("mintbench-count-").tempdir().map_err(CountError::Folder)
}

/// Returns the last line of the first of these files that has one.
fn last_line(files: &[PathBuf]) -> Option<String> {
    files.iter().find_map(|file| {
        let text = std::fs::read(file).ok()?;
        let text = String::from_utf8_lossy(&text).into_owned();
        text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
    })
}

impl Counts {
    /// Adds the instructions of a class, from the profiles of its loads.
    fn add(
        &mut self,
        class: Class,
        lengths: Lengths,
        profiles: &[Profile],
    ) -> Result<(), CountError> {
        lengths.check(class, profiles.len())?;
        let totals: Vec<u64> = profiles.iter().map(|profile| profile.total).collect();
        self.work.insert((class, Work::Instructions), lengths.per_request(&totals));
        self.nameless |= profiles.iter().any(Profile::is_nameless);
        let least = |place: usize| {
            profiles.iter().skip(place).step_by(2).min_by_key(|profile| profile.total)
        };
        if let (Some(short), Some(long)) = (least(0), least(1)) {
            self.functions.insert(class, by_function(lengths, short, long));
        }
        Ok(())
    }
}

fn by_function(
    lengths: Lengths,
    short: &Profile,
    long: &Profile,
) -> BTreeMap<String, FunctionCost> {
    let names: BTreeSet<&String> = short.functions.keys().chain(long.functions.keys()).collect();
    let cost = |name: &String| {
        let of = |profile: &Profile| profile.functions.get(name).copied().unwrap_or_default();
        let (short, long) = (of(short), of(long));
        FunctionCost {
            own: lengths.share(short.own, long.own),
            inclusive: lengths.share(short.inclusive, long.inclusive),
        }
    };
    names.into_iter().map(|name| (name.clone(), cost(name))).collect()
}

/// Returns the work of a class, from the tallies of its loads.
fn of_traces(
    class: Class,
    lengths: Lengths,
    loads: &[Tally],
) -> Result<BTreeMap<(Class, Work), f64>, CountError> {
    lengths.check(class, loads.len())?;
    let of = |work, count: fn(&Tally) -> u64| {
        let all: Vec<u64> = loads.iter().map(count).collect();
        ((class, work), lengths.per_request(&all))
    };
    let all = [
        of(Work::Allocations, |tally| tally.allocations),
        of(Work::AllocatedBytes, |tally| tally.allocated_bytes),
        of(Work::SystemCalls, |tally| tally.system_calls),
        of(Work::WrittenBytes, |tally| tally.written_bytes),
    ];
    Ok(all.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTHS: Lengths = Lengths { first: 1, short: 10, long: 30, rounds: 3 };

    #[test]
    fn what_does_not_depend_on_the_number_of_requests_cancels() {
        let work = |requests: u64, other: u64| 500 + requests * 17 + other;
        let loads =
            [work(10, 0), work(30, 90), work(10, 40), work(30, 0), work(10, 7), work(30, 3)];
        assert!((LENGTHS.per_request(&loads) - 17.0).abs() < 1e-12);
        assert_eq!(LENGTHS.loads().collect::<Vec<_>>(), [10, 30, 10, 30, 10, 30]);
        assert_eq!(LENGTHS.requests(), 121);
    }

    #[test]
    fn a_function_that_only_a_long_load_calls_has_its_share() {
        let profile = |rare| {
            let text =
                format!("events: Ir\nfn=often\n1 100\nfn=rare\n1 {rare}\ntotals: {}\n", 100 + rare);
            Profile::parse(&text).unwrap()
        };
        let mut counts = Counts::default();
        let profiles = [0, 40, 0, 60, 0, 50].map(profile);
        counts.add(Class::Hit, LENGTHS, &profiles).unwrap();
        let own = |name: &str| counts.functions[&Class::Hit][name].own;
        assert_eq!((own("often"), own("rare")), (0.0, 2.0));
        assert_eq!(counts.work.get(&(Class::Hit, Work::Instructions)), Some(&2.0));
    }

    #[test]
    fn traces_give_all_other_work() {
        let tally = |calls| Tally { system_calls: calls, ..Tally::default() };
        let loads = [41, 101, 45, 103, 43, 102].map(tally);
        let found = of_traces(Class::All, LENGTHS, &loads).unwrap();
        assert_eq!(found.get(&(Class::All, Work::SystemCalls)), Some(&3.0));
        assert_eq!(found.get(&(Class::All, Work::Allocations)), Some(&0.0));
    }

    #[test]
    fn a_traced_miss_counts_as_the_least_of_single_requests() {
        let lengths = Lengths::of_traces();
        let tally = |calls| Tally { system_calls: calls, ..Tally::default() };
        // Nothing is asked in every other load, and a timer fires in some.
        let mut loads = vec![tally(9); lengths.loads().count()];
        loads.iter_mut().step_by(2).skip(3).for_each(|load| *load = tally(0));
        loads[31] = tally(6);
        let found = of_traces(Class::Miss, lengths, &loads).unwrap();
        assert_eq!(found.get(&(Class::Miss, Work::SystemCalls)), Some(&6.0));
    }

    #[test]
    fn a_load_that_was_not_counted_is_an_error_and_not_a_load_without_work() {
        let error = of_traces(Class::All, LENGTHS, &[Tally::default(); 5]).unwrap_err();
        assert!(error.to_string().contains("`all` were counted in 5 of 6 loads"), "{error}");
        let error = Counts::default().add(Class::Hit, LENGTHS, &[]).unwrap_err();
        assert!(error.to_string().contains("`hit` were counted in 0 of 6 loads"), "{error}");
        assert!(!error.is_of_server());
    }
}

//! Logs of Valgrind's options `--trace-malloc` and `--trace-syscalls`: allocations and system calls.
//!
//! Two kinds of calls are not counted. Calls that read a clock enter the kernel only under Valgrind: elsewhere
//! the kernel maps a page with the time (vdso(7)). Waits that end because their time is over depend on how long
//! a count takes, and not on the requests.

use std::collections::HashMap;

/// Allocations and system calls of a span of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    /// Calls that allocate memory, or that allocate it anew.
    pub(crate) allocations: u64,
    /// Bytes that these calls ask for.
    pub(crate) allocated_bytes: u64,
    /// System calls that have ended.
    pub(crate) system_calls: u64,
    /// Bytes that system calls wrote.
    pub(crate) written_bytes: u64,
}

/// Returns the tally of each part of a log. `ends` are the ends of the parts in bytes, ascending; the first
/// part begins with the log.
pub(crate) fn tallies(log: &[u8], ends: &[u64]) -> Vec<Tally> {
    let mut reader = Reader::default();
    let (mut tallies, mut at) = (Vec::new(), 0_u64);
    let mut lines = log.split_inclusive(|byte| *byte == b'\n').peekable();
    for end in ends {
        while let Some(line) = lines.next_if(|_| at < *end) {
            at += line.len() as u64;
            reader.read(&String::from_utf8_lossy(line));
        }
        tallies.push(std::mem::take(&mut reader.tally));
    }
    tallies
}

/// System call that has begun.
#[derive(Clone, Debug)]
struct Call {
    name: String,
    /// Text between the parentheses.
    arguments: String,
}

/// Result of a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Failure(u64),
    Success(u64),
}

/// State between two lines.
#[derive(Debug, Default)]
struct Reader {
    tally: Tally,
    /// Calls that have not ended, by the text that names their thread.
    begun: HashMap<String, Call>,
}

impl Reader {
    fn read(&mut self, line: &str) {
        if let Some(text) = line.strip_prefix("--") {
            self.allocation(text);
        } else if let Some(text) = line.strip_prefix("SYSCALL[") {
            self.system_call(text);
        }
    }

    fn allocation(&mut self, text: &str) {
        if let Some(bytes) = allocated(text) {
            self.tally.allocations += 1;
            self.tally.allocated_bytes = self.tally.allocated_bytes.saturating_add(bytes);
        }
    }

    /// Reads the beginning of a call, its end, or both: `7,1](  1) sys_write ( 1, 0x40, 6 ) --> ...`.
    fn system_call(&mut self, text: &str) {
        let parts = text.split_once(']').and_then(|(thread, rest)| {
            let (_number, rest) = rest.split_once(')')?;
            Some((thread, rest.trim_start()))
        });
        let Some((thread, rest)) = parts else { return };
        if !rest.starts_with("...") {
            self.begun.insert(thread.to_owned(), Call::of(rest));
        }
        if let Some(outcome) = outcome(rest)
            && let Some(call) = self.begun.remove(thread)
        {
            self.ended(&call, outcome);
        }
    }

    fn ended(&mut self, call: &Call, outcome: Outcome) {
        if call.reads_clock() || call.is_over_by_time(outcome) {
            return;
        }
        self.tally.system_calls += 1;
        if let (true, Outcome::Success(bytes)) = (call.writes(), outcome) {
            self.tally.written_bytes = self.tally.written_bytes.saturating_add(bytes);
        }
    }
}

/// Code of a wait whose time was over, on Linux.
const ETIMEDOUT: u64 = 110;

impl Call {
    fn of(text: &str) -> Self {
        let (name, rest) = text.split_once('(').unwrap_or((text, ""));
        let name = name.trim_end().trim_start_matches("sys_").to_owned();
        let (arguments, _) = rest.split_once(')').unwrap_or((rest, ""));
        Self { name, arguments: arguments.trim().to_owned() }
    }

    fn writes(&self) -> bool {
        let names = ["write", "writev", "pwrite64", "pwritev", "pwritev2"];
        let sends = ["send", "sendto", "sendmsg", "sendfile", "sendfile64"];
        names.iter().chain(&sends).any(|name| self.name == *name)
    }

    fn reads_clock(&self) -> bool {
        ["clock_gettime", "gettimeofday", "time", "getcpu"].contains(&self.name.as_str())
    }

    /// Returns true if the call only waited, and its time was over.
    fn is_over_by_time(&self, outcome: Outcome) -> bool {
        match (self.name.as_str(), outcome) {
            ("nanosleep" | "clock_nanosleep", Outcome::Success(_)) => true,
            ("futex", Outcome::Failure(code)) => code == ETIMEDOUT,
            // Without a time to wait it is a look at what is ready, and thus work.
            ("epoll_wait" | "poll", Outcome::Success(0)) => !self.arguments.ends_with(", 0"),
            ("epoll_pwait" | "epoll_pwait2" | "ppoll" | "select" | "pselect6", outcome) => {
                outcome == Outcome::Success(0)
            }
            _ => false,
        }
    }
}

/// Returns the result at the end of a line: `--> Success(0x6)`.
fn outcome(text: &str) -> Option<Outcome> {
    let number = |rest: &str| {
        let digits = rest.strip_prefix("0x")?;
        let end = digits.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(digits.len());
        u64::from_str_radix(digits.get(..end)?, 16).ok()
    };
    let after = |word: &str| text.rsplit_once(word).and_then(|(_, rest)| number(rest));
    let success = after(" Success(").map(Outcome::Success);
    success.or_else(|| after(" Failure(").map(Outcome::Failure))
}

/// Returns the bytes that a call asks for, if the line is that of an allocation.
///
/// A growth from nothing is written as `realloc(0x0,64)malloc(64) = 0x40`, and is one allocation.
fn allocated(line: &str) -> Option<u64> {
    let arguments = |name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split_once(')').map(|(arguments, _)| arguments)
    };
    let number = |text: &str| text.trim().parse::<u64>().ok();
    // Of C, and the two operators of C++.
    let simple = [" malloc(", ")malloc(", " _Znwm(", " _Znam("].into_iter().find_map(arguments);
    if let Some(bytes) = simple {
        return number(bytes);
    }
    if let Some((count, size)) = arguments("calloc(").and_then(|both| both.split_once(',')) {
        return number(count)?.checked_mul(number(size)?);
    }
    if let Some((_, size)) = arguments("realloc(").and_then(|both| both.split_once(',')) {
        return number(size);
    }
    // `memalign(al 16, size 64)`, which the other aligned allocations call.
    arguments("memalign(").and_then(|both| number(both.rsplit_once("size ")?.1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tally(log: &str) -> Tally {
        tallies(log.as_bytes(), &[log.len() as u64])[0]
    }

    #[test]
    fn every_kind_of_allocation_counts_once_with_its_bytes() {
        let log = "--7-- malloc(5) = 0x4A38030
--7-- free(0x4A38030)
--7-- calloc(3,16) = 0x4A38230
--7-- realloc(0x0,1600)malloc(1600) = 0x4A39250
--7-- realloc(0x4A398B0,2048) = 0x4A39CD0
--7-- memalign(al 64, size 4096) = 0x4A39CD0
--7-- _Znwm(24) = 0x4A39CD0
==7== malloc(7)
";
        let bytes = 5 + 48 + 1600 + 2048 + 4096 + 24;
        let expected = Tally { allocations: 6, allocated_bytes: bytes, ..Tally::default() };
        assert_eq!(tally(log), expected);
    }

    #[test]
    fn system_calls_count_when_they_end_and_writes_have_bytes() {
        let log = "SYSCALL[7,1](  1) sys_write ( 1, 0x4025000, 6 ) --> [async] ... 
SYSCALL[7,2](232) sys_epoll_wait ( 7, 0x4fda250, 1023, 10 ) --> [async] ... 
SYSCALL[7,1](  1) ... [async] --> Success(0x6) 
SYSCALL[7,1](44) sys_sendto ( 5, 0x5383da0, 100, 0, 0x0, 0 ) --> [async] ... 
SYSCALL[7,1](44) ... [async] --> Failure(0xb) 
SYSCALL[7,1](12) sys_brk ( 0x0 ) --> [pre-success] Success(0x4035000) 
SYSCALL[7,1](3) sys_close ( 4 )[sync] --> Success(0x0) 
SYSCALL[7,2](232) ... [async] --> Success(0x1) 
SYSCALL[7,1](46) sys_sendmsg ( 6, 0x1fff000040, 0 ) --> [async] ... 
";
        let expected = Tally { system_calls: 5, written_bytes: 6, ..Tally::default() };
        assert_eq!(tally(log), expected);
    }

    #[test]
    fn clocks_and_waits_that_are_over_do_not_count_but_a_look_does() {
        let log = "SYSCALL[7,1](228) sys_clock_gettime( 1, 0x1fff0000c0 )[sync] --> Success(0x0) 
SYSCALL[7,1](232) sys_epoll_wait ( 7, 0x4fda250, 1023, 10 ) --> [async] ... 
SYSCALL[7,1](232) ... [async] --> Success(0x0) 
SYSCALL[7,1](202) sys_futex ( 0x4f20080, 137, 0, 0x1ffefffd30, 0x0 ) --> [async] ... 
SYSCALL[7,1](202) ... [async] --> Failure(0x6e) 
SYSCALL[7,1](230) sys_clock_nanosleep( 1, 0, 0x1ffefffd30 , 0x0 )[async] ... 
SYSCALL[7,1](230) ... [async] --> Success(0x0) 
";
        assert_eq!(tally(log), Tally::default());
        let look = "SYSCALL[7,1](232) sys_epoll_wait ( 7, 0x4fda250, 1023, 0 ) --> [async] ... 
SYSCALL[7,1](232) ... [async] --> Success(0x0) 
";
        assert_eq!(tally(look).system_calls, 1);
    }

    #[test]
    fn a_call_belongs_to_the_part_in_which_it_ends() {
        let parts = [
            "--7-- malloc(5) = 0x1\nSYSCALL[7,1](0) sys_read ( 0, 0x1, 1 ) --> [async] ... \n",
            "SYSCALL[7,1](0) ... [async] --> Success(0x1) \n",
            "",
        ];
        let mut end = 0;
        let ends = parts.map(|part| {
            end += part.len() as u64;
            end
        });
        let found = tallies(parts.concat().as_bytes(), &ends);
        let counts: Vec<(u64, u64)> =
            found.iter().map(|tally| (tally.allocations, tally.system_calls)).collect();
        assert_eq!(counts, [(1, 0), (0, 1), (0, 0)]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(log in prop::collection::vec(any::<u8>(), 0..400), end in 0..500_u64) {
            prop_assert_eq!(tallies(&log, &[end, 500]).len(), 2);
        }

        #[test]
        fn no_lines_of_the_format_make_the_reader_panic(log in
            "((--7-- |SYSCALL\\[7,1\\]\\(1\\) |)(malloc|calloc|realloc|memalign|sys_write|epoll_wait|\\.\\.\\.)?[(), 0-9a-zx>-]{0,30}( Success\\(0x| Failure\\(0x)?[0-9a-f)]{0,20}\n){0,20}") {
            let _ = tallies(log.as_bytes(), &[log.len() as u64]);
        }
    }
}

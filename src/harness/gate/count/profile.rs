//! Profiles of Callgrind: the instructions of each function.
//!
//! The format is described in Valgrind's manual ("Callgrind Format Specification"). Only what the gate
//! needs is read: functions, their own costs, and the costs of their calls.

use std::collections::{BTreeMap, HashMap};

/// Instructions of one function.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// Instructions of the function itself.
    pub(crate) own: u64,
    /// Instructions of the function and of all that it calls. Recursive calls count more than once.
    pub(crate) inclusive: u64,
}

/// Instructions of a program, by function.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Instructions of the whole program.
    pub(crate) total: u64,
    /// Cost of each function. Functions of the same name are added up.
    pub(crate) functions: BTreeMap<String, Cost>,
}

/// Reasons why a text is not a profile.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProfileError {
    /// The header names no instructions.
    #[error("the profile does not count instructions (`events: Ir`)")]
    NoInstructions,
    /// A line with costs cannot be read.
    #[error("line {0} of the profile is no line of costs")]
    Line(usize),
    /// The profile ends before its total.
    #[error("the profile has no total; it is not complete")]
    Incomplete,
}

impl Profile {
    /// Parses a profile.
    ///
    /// # Errors
    /// Returns [`ProfileError`] when the text is not a complete profile of instructions.
    pub(crate) fn parse(text: &str) -> Result<Self, ProfileError> {
        let mut reader = Reader::default();
        for (number, line) in (1..).zip(text.lines()) {
            reader.read(line).ok_or(ProfileError::Line(number))?;
        }
        let total = reader.total.ok_or(ProfileError::Incomplete)?;
        reader.event.ok_or(ProfileError::NoInstructions)?;
        Ok(Self { total, functions: reader.functions })
    }

    /// Returns true if most of the instructions belong to functions without a name, as in a stripped program.
    pub(crate) fn is_nameless(&self) -> bool {
        let nameless = |(name, _): &(&String, &Cost)| name.starts_with("0x") || *name == NAMELESS;
        let own = |(_, cost): (&String, &Cost)| cost.own;
        let unnamed: u64 = self.functions.iter().filter(nameless).map(own).sum();
        unnamed > self.total / 2
    }
}

/// Name that Callgrind gives to code that belongs to no function.
const NAMELESS: &str = "???";

/// State between two lines.
#[derive(Debug, Default)]
struct Reader<'a> {
    /// Number of positions before the costs of a line; one if the header does not say.
    positions: Option<usize>,
    /// Position of the instructions among the costs.
    event: Option<usize>,
    /// Names by their number. A name is written in full only once.
    names: HashMap<&'a str, &'a str>,
    function: String,
    /// True if the next line of costs is that of a call.
    calls: bool,
    functions: BTreeMap<String, Cost>,
    total: Option<u64>,
}

impl<'a> Reader<'a> {
    /// Reads a line. Returns none if it cannot be read.
    fn read(&mut self, line: &'a str) -> Option<()> {
        if let Some(name) = line.strip_prefix("fn=") {
            self.function = readable(self.name(name));
        } else if let Some(name) = line.strip_prefix("cfn=") {
            self.name(name);
        } else if line.starts_with("calls=") {
            self.calls = true;
        } else if line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first)) {
            self.cost(line)?;
        } else if let Some((key, value)) = line.split_once(": ") {
            self.header(key, value);
        }
        // Files, objects, jumps, comments and empty lines do not matter.
        Some(())
    }

    fn header(&mut self, key: &str, value: &str) {
        let mut words = value.split_ascii_whitespace();
        match key {
            "events" => self.event = words.position(|event| event == "Ir"),
            "positions" => self.positions = Some(words.count()),
            "summary" | "totals" => {
                let cost = words.nth(self.event.unwrap_or_default());
                self.total = cost.and_then(|cost| cost.parse().ok()).or(self.total);
            }
            _ => {}
        }
    }

    /// Returns the name of a function, and remembers it if it is written in full: `(12) name`.
    fn name(&mut self, text: &'a str) -> &'a str {
        let Some((number, name)) = text.strip_prefix('(').and_then(|rest| rest.split_once(')'))
        else {
            return text;
        };
        let name = name.trim_start();
        if !name.is_empty() {
            self.names.insert(number, name);
        }
        self.names.get(number).copied().unwrap_or(NAMELESS)
    }

    /// Adds the costs of a line to its function.
    fn cost(&mut self, line: &str) -> Option<()> {
        let place = self.positions.unwrap_or(1).checked_add(self.event.unwrap_or_default())?;
        // Costs at the end of a line are left out if they are zero.
        let cost = line.split_ascii_whitespace().nth(place);
        let cost: u64 = cost.map_or(Some(0), |cost| cost.parse().ok())?;
        let of = self.functions.entry(self.function.clone()).or_default();
        of.inclusive = of.inclusive.saturating_add(cost);
        if !std::mem::take(&mut self.calls) {
            of.own = of.own.saturating_add(cost);
        }
        Some(())
    }
}

/// Length of the hash that the compiler appends to a name: `::h` and 16 digits.
const HASH_LENGTH: usize = 19;

/// Returns a name without the parts that differ between two builds of the same function: the hash of the
/// compiler, and the numbers of copies and of recursive calls.
fn readable(name: &str) -> String {
    let name = name.split('\'').next().filter(|name| !name.is_empty()).unwrap_or(name);
    let name = name.split(".llvm.").next().unwrap_or(name);
    let hashed = name.len().checked_sub(HASH_LENGTH).and_then(|at| name.split_at_checked(at));
    let is_hash = |hash: &str| {
        let digits = hash.strip_prefix("::h");
        digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match hashed {
        Some((short, hash)) if is_hash(hash) => short.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PROFILE: &str = "\
# callgrind format
version: 1
creator: callgrind-3.19.0
pid: 7
cmd: server --port 1
part: 2

desc: Trigger: Client Request

positions: line
events: Ir
summary: 175

ob=(1) /bin/server
fl=(1) main.c
fn=(1) main
16 20
cob=(2) /lib/libc.so
cfn=(2) work::step::h0123456789abcdef
calls=3 50
16 150

fn=(2)
51 100
+2 50
cfn=(2)
calls=1 51
* 30

fn=(3) idle
9 5
totals: 175
";

    fn cost(own: u64, inclusive: u64) -> Cost {
        Cost { own, inclusive }
    }

    #[test]
    fn functions_have_their_own_costs_and_those_of_their_calls() {
        let profile = Profile::parse(PROFILE).unwrap();
        assert_eq!(profile.total, 175);
        assert_eq!(profile.functions["main"], cost(20, 170));
        assert_eq!(profile.functions["work::step"], cost(150, 180));
        assert_eq!(profile.functions["idle"], cost(5, 5));
        assert_eq!(profile.functions.values().map(|cost| cost.own).sum::<u64>(), 175);
        assert!(!profile.is_nameless());
    }

    #[test]
    fn instructions_are_found_among_other_events_and_positions() {
        let text = "positions: instr line\nevents: Dr Ir\nfn=a\n0x10 7 1 2\ntotals: 1 2\n";
        assert_eq!(Profile::parse(text).unwrap().total, 2);
        assert_eq!(Profile::parse(text).unwrap().functions["a"], cost(2, 2));
    }

    #[test]
    fn a_cut_profile_and_one_of_other_events_are_refused() {
        let (cut, _) = PROFILE.split_at(PROFILE.find("summary").unwrap());
        assert_eq!(Profile::parse(cut), Err(ProfileError::Incomplete));
        let other = PROFILE.replace("events: Ir", "events: Dr");
        assert_eq!(Profile::parse(&other), Err(ProfileError::NoInstructions));
        let broken = PROFILE.replace("16 20", "16 many");
        assert_eq!(Profile::parse(&broken), Err(ProfileError::Line(17)));
    }

    #[test]
    fn code_without_names_is_noticed() {
        let stripped = PROFILE.replace("work::step::h0123456789abcdef", "0x0000000000012345");
        assert!(Profile::parse(&stripped).unwrap().is_nameless());
    }

    #[test]
    fn names_lose_what_differs_between_two_builds_of_a_function() {
        for (name, expected) in [
            ("core::fmt::write::h00112233aabbccdd", "core::fmt::write"),
            ("core::fmt::write", "core::fmt::write"),
            ("<a::B as c::D>::e.llvm.1234", "<a::B as c::D>::e"),
            ("walk'2", "walk"),
            ("h00112233aabbccdd", "h00112233aabbccdd"),
            ("", ""),
        ] {
            assert_eq!(readable(name), expected);
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = Profile::parse(&text);
        }

        #[test]
        fn no_lines_of_the_format_make_the_reader_panic(lines in prop::collection::vec(
            "(fn=|cfn=|calls=|events: |positions: |totals: |)(\\([0-9]{0,2}\\)?)?[-+* 0-9a-zIr':.]{0,24}", 0..40)) {
            let _ = Profile::parse(&lines.join("\n"));
        }

        /// Every instruction belongs to one function.
        #[test]
        fn own_costs_add_up_to_the_sum_of_all_lines(costs in prop::collection::vec((0..5_u8, 0..1_000_000_u64), 0..50)) {
            let lines: Vec<String> = costs.iter().map(|(of, cost)| format!("fn=({of}) f{of}\n1 {cost}\n")).collect();
            let lines = lines.concat();
            let sum: u64 = costs.iter().map(|(_, cost)| cost).sum();
            let profile = Profile::parse(&format!("events: Ir\n{lines}totals: {sum}\n")).unwrap();
            prop_assert_eq!(profile.functions.values().map(|cost| cost.own).sum::<u64>(), profile.total);
        }
    }
}

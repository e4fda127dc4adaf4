//! `left-out.csv`: stretches of time that the undisturbed view of a run leaves out.

use std::io::{self, Write};

use crate::harness::judge::undisturbed::LeftOut;
use crate::harness::nanos::Nanos;
use crate::harness::record::witness::Witness;

/// Name of the file.
pub(super) const FILE: &str = "left-out.csv";

/// Writes a row for each stretch: the wall time of its beginning and its length in seconds, and its witnesses.
pub(super) fn write(stretches: &[LeftOut], out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "start_unix_s,length_s,witnesses")?;
    for LeftOut { begins, length, witnesses } in stretches {
        let names: Vec<&str> = witnesses.iter().map(Witness::as_str).collect();
        writeln!(out, "{},{},{}", seconds(*begins), seconds(*length), names.join("+"))?;
    }
    Ok(())
}

/// Formats a time in seconds, exact to the nanosecond.
fn seconds(time: Nanos) -> String {
    format!("{}.{:09}", time / Nanos::SECOND, (time % Nanos::SECOND).as_u64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_wall_time_length_and_all_witnesses() {
        let witnesses = Witness::TargetWait.into();
        let first = LeftOut {
            begins: Nanos::new(1_700_000_000_000_000_007),
            length: Nanos::from_micros(2_500),
            witnesses,
        };
        let second = LeftOut {
            begins: Nanos::new(1_700_000_001_250_000_000),
            length: Nanos::from_secs(2),
            witnesses: witnesses.with(Witness::GeneratorClock.into()),
        };
        let mut out = Vec::new();
        write(&[first, second], &mut out).unwrap();
        let expected = "start_unix_s,length_s,witnesses\n\
            1700000000.000000007,0.002500000,target-wait\n\
            1700000001.250000000,2.000000000,generator-clock+target-wait\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }
}

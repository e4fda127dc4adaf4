//! The final output of a run.

use super::run;

/// Returns the lines from the heading to the end.
fn last_block(said: &str) -> Vec<&str> {
    let heading = said.lines().position(|line| line.starts_with("steady  imds  http://"));
    said.lines().skip(heading.unwrap_or_else(|| panic!("no heading: {said}"))).collect()
}

#[test]
fn the_table_is_headed_narrow_without_rules_and_last() {
    let run = run(&["--vms=5", "--rate=50", "--warmup=0s", "--duration=500ms", "--alg=ES256"]);
    run.has_result();
    let said = String::from_utf8_lossy(&run.output.stdout);
    let lines = last_block(&said);
    assert!(lines[0].ends_with("/metadata/identity/oauth2/token"), "{said}");
    assert_eq!(lines[1], "50 requests/s (poisson), 0.5 s, 5 connections");
    let head = lines.iter().position(|line| line.starts_with("class")).unwrap();
    assert_eq!(lines[head], lines[head].trim_end());
    assert!(lines[head].ends_with("max"), "{said}");
    first_lines_say_what_was_measured(&lines[3..head], run.output.status.code());
    let table = &lines[head + 1..lines.iter().rposition(|line| line.is_empty()).unwrap()];
    for line in table {
        assert!(line.chars().count() <= 80, "{line}");
        let has_unit = [" ns", " us", " ms", " s"].iter().any(|unit| line.ends_with(unit));
        assert!(has_unit, "{line}");
    }
    assert!(!said.contains('─'), "{said}");
    assert!(!lines.iter().any(|line| line.starts_with("note")), "{said}");
    // Invalidity takes one line, however many reasons there are.
    let verdicts = said.lines().filter(|line| {
        ["INVALID", "disturbed", "valid"].iter().any(|verdict| line.starts_with(verdict))
    });
    assert_eq!(verdicts.count(), 1, "{said}");
    let report = run.folder.path().join("report.html");
    assert_eq!(lines.last(), Some(&format!("report    {}", report.display()).as_str()));
    assert!(report.exists());
}

/// Asserts that each percentile is named once, as measured, bounded or unknown, in narrow lines.
fn first_lines_say_what_was_measured(lines: &[&str], code: Option<i32>) {
    if code == Some(4) {
        assert!(lines.is_empty(), "{lines:?}");
        return;
    }
    assert!(lines.last().unwrap().is_empty() && lines.len() > 1, "{lines:?}");
    for line in lines {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for percentile in ["p50", "p90", "p99", "p99.9", "max"] {
        let names = lines.iter().filter(|line| !line.starts_with("for more"));
        let words = names.flat_map(|line| line.split([' ', ',', ':']));
        assert_eq!(words.filter(|word| *word == percentile).count(), 1, "{percentile} {lines:?}");
    }
}

#[test]
fn a_warm_up_that_cannot_fill_the_cache_is_warned_of_before_the_load() {
    let args = ["--vms=40", "--rate=100", "--warmup=500ms", "--duration=500ms", "--alg=ES256"];
    let run = run(&[&args[..], &["--quiet"]].concat());
    let stderr = run.stderr();
    let warning = "warning: the warm-up asks for 25 of 120 keys";
    assert!(stderr.starts_with(warning) && stderr.contains("use --warmup 3s"), "{stderr}");
    assert!(run.json["notes"].to_string().contains("25 of 120 keys"), "{}", run.json["notes"]);
}

//! Files from outside: links, endless files, and text with terminal control sequences.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::process::Output;

use serde_json::{Value, json};

use crate::{Copy, code, mintbench, stderr, stdout};

/// Control characters that colour the terminal, reverse the line, and start a control sequence.
const EVIL: &str = "\u{1b}[31m\u{202e}\u{9b}\u{200b}";

fn harmless(what: &str, text: &str) {
    for evil in EVIL.chars().filter(|char| !char.is_ascii_graphic()) {
        assert!(!text.contains(evil), "{what} holds {evil:?}:\n{}", text.escape_debug());
    }
}

/// Asserts that the output holds no terminal control characters and the exit code is `expected`.
#[track_caller]
fn harmless_output(args: &[&str], expected: i32) -> Output {
    let output = mintbench(args);
    assert_eq!(code(&output), expected, "{args:?}: {}{}", stdout(&output), stderr(&output));
    harmless("standard output", &stdout(&output));
    harmless("standard error", &stderr(&output));
    output
}

/// Adds control characters to every text in a document, except those that define how it is read and those
/// of which only known ones are read.
fn poison(value: &mut Value, name: &str) {
    const FIXED: [&str; 10] = [
        "schema",
        "arrivals",
        "verdict",
        "bounds_method",
        "run_id",
        "effect_interval_method",
        "metric",
        "design",
        "metrics",
        "order",
    ];
    match value {
        Value::String(text) if !FIXED.contains(&name) => text.push_str(EVIL),
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, name)),
        Value::Object(fields) => {
            fields.iter_mut().for_each(|(name, field)| poison(field, name));
        }
        _ => {}
    }
}

fn poisoned() -> Copy {
    let copy = Copy::of("steady");
    copy.add("steady", "other");
    for (name, run_id) in [("run", "a"), ("other", "b")] {
        copy.edit(name, |run| {
            run["run_id"] = format!("{run_id}{EVIL}").into();
            run["notes"] = json!(["a note"]);
            run["validity"]["valid"] = false.into();
            run["validity"]["reasons"] = json!(["a reason"]);
            run["host"][EVIL] = "a field of later versions".into();
            run.as_object_mut().unwrap().entry("outage").or_insert(Value::Null);
            poison(run, "");
        });
    }
    copy
}

#[test]
fn no_text_of_a_result_commands_a_terminal_whatever_reads_it() {
    let copy = poisoned();
    let (run, other) = (copy.text("run"), copy.text("other"));
    let at = |name: &str| copy.text(name);
    harmless_output(
        &["report", &run, "--out-json", &at("n.json"), "--out-commit", EVIL, "--out-branch", EVIL],
        0,
    );
    harmless_output(&["report", &run, "--out-markdown", &at("run.md")], 0);
    harmless_output(&["compare", &run, &other, "--html", &at("c.html")], 0);
    harmless_output(&["merge", &run, &other, "--out", &at("merged")], 4);
    harmless_output(&["report", &at("merged")], 0);
    harmless_output(&["gate", "--baseline", &run], 6);
    harmless_output(&["plan", "--fleet", &at("none.toml"), "--from", &run], 2);
    for form in [["compare", &run, &other].as_slice(), &["merge", &run, &other, "--out", &at("m2")]]
    {
        let output = mintbench(&[form, &["--json"]].concat());
        harmless("JSON", &stdout(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(told.to_string().contains('\u{202e}'), "JSON keeps the text: {told}");
    }
    for name in
        ["run/report.html", "c.html", "merged/report.html", "merged/run.json", "n.json", "run.md"]
    {
        harmless(name, &fs::read_to_string(copy.path(name)).unwrap());
    }
    assert!(fs::read_to_string(copy.path("c.html")).unwrap().contains("\\u{202e}"));
}

#[test]
fn no_text_of_a_gate_commands_a_terminal() {
    let copy = Copy::of("steady");
    fs::create_dir(copy.path("gate")).unwrap();
    let mut gate = crate::gate::document();
    poison(&mut gate, "");
    fs::write(copy.path("gate/gate.json"), gate.to_string()).unwrap();
    harmless_output(&["report", &copy.text("gate")], 0);
    harmless("the page", &fs::read_to_string(copy.path("gate/report.html")).unwrap());
}

#[test]
fn no_argument_and_no_file_of_settings_commands_a_terminal() {
    let copy = Copy::of("steady");
    let file = |name: &str, text: &str| {
        fs::write(copy.path(name), text).unwrap();
        copy.text(name)
    };
    let escaped = r"\u001b[31m\u202e\u009b\u200b";
    let scenario = file("s.toml", &format!("\"{escaped}\" = 1\nwarmup = \"{escaped}\"\n"));
    let world = file("w.toml", &format!("resources = [\"{escaped}\"]\n\"{escaped}\" = 1\n"));
    let fleet = file("f.toml", &format!("[kits]\n\"{escaped}\" = 1\n"));
    let config = file("c.toml", &format!("[run]\n\"{escaped}\" = 1\n[\"{escaped}\"]\n"));
    let target = file("t.toml", &format!("target = \"{escaped}+http://x\"\n"));
    let trace = file("t.csv", &format!("t_offset_s,{EVIL}\n0,1\n"));
    let replay = file(
        "r.toml",
        &format!(
            "[[phase]]\nname = \"p\"\nduration = \"1s\"\nprofile = {{ replay = \"{trace}\" }}\nmix = [{{ kind = \"hit\" }}]\n"
        ),
    );
    let value = file("v.toml", &format!("[run]\nrate = \"{escaped}\"\n"));
    let evil_flag = format!("--{EVIL}");
    let evil_rate = format!("--rate={EVIL}");
    let evil_path = format!("{EVIL}.toml");
    for args in [
        &["run", &scenario] as &[&str],
        &["run", &replay],
        &["run", &evil_path],
        &["run", &evil_rate],
        &["run", &evil_flag],
        &["run", "--target", &target],
        &["run", EVIL],
        &["run", "--config", &config],
        &["run", "--config", &value],
        &[EVIL],
        &["serve", "--world", &world],
        &["serve", "--world", &evil_path],
        &["plan", "--fleet", &fleet],
        &["report", EVIL],
        &["compare", EVIL, EVIL],
        &["merge", EVIL, "--out", &copy.text("m")],
        &["vm", "list", "--data", EVIL],
    ] {
        let output = mintbench(args);
        let said = stderr(&output);
        assert_eq!(code(&output), 2, "{args:?}: {said}");
        harmless(&format!("{args:?}"), &(stdout(&output) + &said));
        assert!(said.contains("\\u{202e}"), "{args:?} names what is wrong: {said}");
    }
}

#[test]
fn a_result_is_written_in_place_of_a_link_and_never_through_it() {
    let copy = Copy::of("steady");
    let precious = copy.path("bashrc");
    fs::write(&precious, "precious").unwrap();
    copy.edit("run", |run| {
        run["validity"]["valid"] = true.into();
        run["checks"]["passed"] = true.into();
    });
    for link in ["run/report.html", "n.json", "n.csv", "c.html"] {
        let _ = fs::remove_file(copy.path(link));
        symlink(&precious, copy.path(link)).unwrap();
    }
    let (json, html) = (copy.text("n.json"), copy.text("c.html"));
    harmless_output(&["report", &copy.text("run"), "--out-json", &json], 0);
    harmless_output(&["compare", &copy.text("run"), &copy.text("run"), "--html", &html], 0);
    let other =
        harmless_output(&["report", &copy.text("run"), "--out-csv", &copy.text("n.csv")], 2);
    assert!(stderr(&other).contains("has other columns"), "{}", stderr(&other));
    fs::write(&precious, "").unwrap();
    harmless_output(&["report", &copy.text("run"), "--out-csv", &copy.text("n.csv")], 0);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "");
    for written in ["run/report.html", "n.json", "n.csv", "c.html"] {
        let path = copy.path(written);
        assert!(fs::symlink_metadata(&path).unwrap().is_file(), "{written}");
        assert!(fs::metadata(&path).unwrap().len() > 100, "{written}");
    }
}

#[test]
fn rows_that_are_added_at_the_same_time_are_all_there() {
    let copy = Copy::of("steady");
    copy.edit("run", |run| {
        run["validity"]["valid"] = true.into();
        run["checks"]["passed"] = true.into();
    });
    let csv = copy.path("n.csv");
    std::thread::scope(|scope| {
        for name in ["a", "b", "c", "d"] {
            let (copy, csv) = (&copy, csv.to_str().unwrap());
            scope.spawn(move || {
                copy.add("steady", name);
                fs::copy(copy.path("run/run.json"), copy.path(name).join("run.json")).unwrap();
                let args = ["report", &copy.text(name), "--out-csv", csv, "--out-commit", name];
                harmless_output(&args, 0);
            });
        }
    });
    let text = fs::read_to_string(csv).unwrap();
    let mut commits: Vec<&str> =
        text.lines().skip(1).filter_map(|row| row.split(',').nth(1)).collect();
    commits.sort_unstable();
    assert_eq!(commits, ["a", "b", "c", "d"], "{text}");
}

#[test]
fn numbers_go_into_a_pipe_or_a_device_that_was_named() {
    let copy = Copy::of("steady");
    let run = copy.text("run");
    let told = harmless_output(&["report", &run, "--out-json", "/dev/stdout"], 0);
    let text = stdout(&told);
    let list = text.rfind("]\n").and_then(|end| text.get(..=end)).unwrap();
    let list: Value = serde_json::from_str(list).unwrap();
    assert!(list.as_array().unwrap().len() > 10, "{list}");
    harmless_output(&["report", &run, "--out-json", "/dev/null"], 0);
    let into_file = copy.path("redirected");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_mintbench"));
    command.args(["report", &run, "--out-json", "/dev/stdout"]);
    assert!(command.stdout(File::create(&into_file).unwrap()).status().unwrap().success());
    assert!(fs::read_to_string(into_file).unwrap().contains("\"better\""));
    assert!(fs::symlink_metadata("/dev/stdout").unwrap().is_symlink());
}

#[test]
fn a_file_without_an_end_is_refused_by_every_reader() {
    let copy = Copy::of("steady");
    copy.add("steady", "log");
    copy.add("steady", "large");
    fs::create_dir(copy.path("gate")).unwrap();
    for (at, endless) in [
        ("run/run.json", "/dev/zero"),
        ("log/response.hlog", "/dev/urandom"),
        ("gate/gate.json", "/dev/zero"),
    ] {
        let _ = fs::remove_file(copy.path(at));
        symlink(endless, copy.path(at)).unwrap();
    }
    // A sparse file, which takes no space.
    File::create(copy.path("large/run.json")).unwrap().set_len(1 << 40).unwrap();
    File::create(copy.path("large.toml")).unwrap().set_len(1 << 40).unwrap();
    symlink("/dev/zero", copy.path("zero.toml")).unwrap();
    let at = |name: &str| copy.text(name);
    let certificate = "[[tenants]]\nid = '00000000-0000-4000-8000-000000000001'\n[[applications]]\nname = 'a'\n\
                       tenant = '00000000-0000-4000-8000-000000000001'\ncertificate = '/dev/zero'\n";
    fs::write(copy.path("w.toml"), certificate).unwrap();
    let (run, log, gate, large) = (at("run"), at("log"), at("gate"), at("large"));
    let (zero, much, out) = (at("zero.toml"), at("large.toml"), at("out"));
    let device = "is a device or a socket";
    let large_settings = "is larger than 1048576 bytes";
    let cases: [(&[&str], &str); 18] = [
        (&["report", &run], device),
        (&["compare", &run, &run], device),
        (&["merge", &run, "--out", &out], device),
        (&["report", &log], device),
        (&["compare", &log, &log], device),
        (&["merge", &log, "--out", &out], device),
        (&["report", &gate], device),
        (&["report", &large], "is larger than 16777216 bytes"),
        (&["run", &zero], device),
        (&["run", &much], large_settings),
        (&["run", "--target", &zero], device),
        (&["run", "--config", &zero], device),
        (&["run", "--config", &much], large_settings),
        (&["plan", "--fleet", &zero], device),
        (&["plan", "--fleet", &much], large_settings),
        (&["serve", "--world", &zero], device),
        (&["serve", "--world", &much], "is larger than 67108864 bytes"),
        (&["serve", "--world", &at("w.toml")], "`/dev/zero` is a device or a socket"),
    ];
    for (args, expected) in cases {
        let said = stderr(&harmless_output(args, 2));
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

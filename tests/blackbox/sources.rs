//! Settings from the environment and from files: an error names the source of the wrong value.

use std::collections::BTreeSet;
use std::process::Output;

use crate::broker::{Broker, mintbench};
use crate::cli::file;

/// Runs the command, which must exit with 2, and returns its standard error.
fn refused(args: &[&str], variables: &[(&str, &str)]) -> String {
    let output = mintbench().args(args).envs(variables.iter().copied()).output().unwrap();
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{args:?} {variables:?}: {said}");
    said
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn an_error_names_the_variable_that_it_comes_from() {
    for (args, variable, value, expected) in [
        (
            &["run"][..],
            "MINTBENCH_RUN_RATE",
            "abc",
            "error: MINTBENCH_RUN_RATE=abc: invalid value 'abc'",
        ),
        (
            &["run"],
            "MINTBENCH_RUN_SCENARIO",
            "calm",
            "error: MINTBENCH_RUN_SCENARIO: invalid value 'calm'",
        ),
        (
            &["run"],
            "MINTBENCH_RUN_JSON",
            "perhaps",
            "error: MINTBENCH_RUN_JSON=perhaps: invalid value",
        ),
        (&["run"], "MINTBENCH_RUN_CA", "ca.pem", "note: --ca is set by MINTBENCH_RUN_CA=ca.pem"),
        (
            &["serve"],
            "MINTBENCH_SERVE_IMDS",
            "here",
            "error: MINTBENCH_SERVE_IMDS=here: invalid value",
        ),
        (
            &["compare", "a", "b"],
            "MINTBENCH_COMPARE_RATE",
            "5",
            "error: MINTBENCH_COMPARE_RATE=5: the argument",
        ),
        (
            &["vm", "list"],
            "MINTBENCH_SUBSCRIPTION",
            "x",
            "error: MINTBENCH_SUBSCRIPTION=x: invalid value",
        ),
        (
            &["serve"],
            "MINTBENCH_LOG",
            "inof",
            "MINTBENCH_LOG=inof is not understood; write error, warn, info",
        ),
        // Values that only the command itself refuses, not the parser.
        (&["run"], "MINTBENCH_RUN_RATE", "0", "note: --rate is set by MINTBENCH_RUN_RATE=0"),
        (
            &["vm", "list"],
            "MINTBENCH_DATA",
            "/nowhere",
            "note: --data is set by MINTBENCH_DATA=/nowhere",
        ),
    ] {
        let said = refused(args, &[(variable, value)]);
        assert!(said.contains(expected), "{variable}={value}: {said}");
    }
    let said = refused(&["run", "--rate", "abc"], &[("MINTBENCH_RUN_VMS", "5")]);
    assert!(said.starts_with("error: invalid value 'abc' for '--rate <N>'"), "{said}");
}

#[test]
fn a_variable_is_not_blamed_for_an_argument_that_is_missing() {
    for (args, variable, value, missing) in [
        (&["gate"][..], "MINTBENCH_GATE_LIMIT", "3%", "--base"),
        (&["plan"], "MINTBENCH_PLAN_SEED", "3", "--fleet"),
        (&["merge", "a"], "MINTBENCH_MERGE_ALIGN", "index", "--out"),
    ] {
        let said = refused(args, &[(variable, value)]);
        assert!(said.starts_with("error: the following required arguments"), "{said}");
        assert!(said.contains(missing) && !said.contains(variable), "{said}");
    }
}

#[test]
fn a_variable_that_may_be_secret_is_named_without_its_value() {
    for (args, variable, value) in [
        (&["run"][..], "MINTBENCH_RUN_TARGET", "ftp://u:hush@127.0.0.1"),
        (&["run", "--rate=0"], "MINTBENCH_RUN_TARGET", "http://127.0.0.1/?code=hush"),
        (&["vm", "list", "--data=/nowhere"], "MINTBENCH_ACCESS_TOKEN", "hush"),
    ] {
        let said = refused(args, &[(variable, value)]);
        assert!(said.contains(variable) && !said.contains("hush"), "{said}");
    }
}

#[test]
fn an_error_names_the_key_of_the_file_that_it_comes_from() {
    let config = file("[run]\nvms = 5\nrate = \"abc\"\n[serve]\nalg = \"HS256\"\n");
    let path = config.path().to_str().unwrap();
    let said = refused(&["run", "--config", path], &[]);
    assert!(
        said.starts_with(&format!("error: {path}: `rate` of [run]: invalid value 'abc'")),
        "{said}"
    );
    let said = refused(&["serve"], &[("MINTBENCH_CONFIG", path)]);
    assert!(said.starts_with(&format!("error: {path}: `alg` of [serve]: invalid value")), "{said}");
    let config = file("[run]\nrate = 0\n");
    let path = config.path().to_str().unwrap();
    let said = refused(&["run", "--config", path], &[]);
    assert!(said.contains(&format!("note: --rate is set by {path}: `rate` of [run]")), "{said}");
}

#[test]
fn an_unknown_variable_is_named_with_the_nearest_known_one() {
    let warned = |name: &str| refused(&["run", "--rate=0"], &[(name, "5")]);
    let said = warned("MINTBENCH_RUN_RTE");
    assert!(said.contains("warning: the variable MINTBENCH_RUN_RTE is unknown and changes nothing; did you mean MINTBENCH_RUN_RATE?"), "{said}");
    let said = warned("MINTBENCH_COLOUR_OF_THE_BIKE_SHED");
    assert!(
        said.contains("MINTBENCH_COLOUR_OF_THE_BIKE_SHED is unknown and changes nothing\n"),
        "{said}"
    );
    for known in [
        "MINTBENCH_LOG",
        "MINTBENCH_RUN_CLIENT_SECRET",
        "MINTBENCH_SERVE_ALG",
        "MINTBENCH_BUILD_COMMIT",
        "HOME",
    ] {
        assert!(!warned(known).contains("warning"), "{known}");
    }
}

/// Returns every variable that the help of the commands shows.
fn variables() -> BTreeSet<String> {
    let commands =
        ["compare", "doctor", "gate", "merge", "plan", "report", "run", "serve", "vm list"];
    let mut names = BTreeSet::new();
    for command in commands {
        let help = mintbench().args(command.split(' ')).arg("--help").output().unwrap();
        let help = String::from_utf8(help.stdout).unwrap();
        let found = help.split("[env: ").skip(1).filter_map(|rest| rest.split('=').next());
        names.extend(found.map(str::to_owned));
    }
    assert!(names.len() > 100, "{names:?}");
    names
}

#[test]
fn an_empty_variable_is_as_if_it_were_not_set() {
    let names = variables();
    let empty = || names.iter().map(|name| (name, ""));
    for args in [
        &["run", "--rate=0"][..],
        &["run", "--rate=5", "--out-json=/nowhere/x"],
        &["compare"],
        &["compare", "/nowhere", "/nowhere"],
        &["doctor", "--duration=0s"],
        &["gate"],
        &["merge"],
        &["plan"],
        &["report"],
        &["vm", "list"],
    ] {
        let without = mintbench().args(args).output().unwrap();
        let with = mintbench().args(args).envs(empty()).output().unwrap();
        assert_eq!(without.status.code(), Some(2), "{args:?}: {}", stderr(&without));
        // The usage text lists the settings that were given. An empty variable is not among them.
        assert_eq!(stderr(&with), stderr(&without), "{args:?}");
    }
    let broker = Broker::serve_with(&[], |command| {
        command.envs(empty());
    });
    assert_eq!(broker.metric::<u32>("mintbench_virtual_machines"), 1);
}

#[test]
fn negative_numbers_and_unknown_commands_get_advice() {
    for (args, expected) in [
        (&["run", "--rate", "-5"][..], "--rate -5 is out of range; use a number above 0"),
        (&["run", "--rate=-5"], "--rate -5 is out of range; use a number above 0"),
        (&["run", "--vms", "-5"], "tip: write a number that is not negative"),
        (&["run", "--samples", "-5"], "tip: write a number that is not negative"),
        (
            &["run", "--duration", "-5s"],
            "tip: `-5s` is taken for a flag; write a value of --duration that is not negative",
        ),
        (&["gate", "--pairs", "-1"], "tip: write a number that is not negative"),
        (&["rum"], "tip: a similar subcommand exists: 'run'"),
        (
            &["http://127.0.0.1:1/token"],
            "tip: to measure an endpoint: mintbench run http://127.0.0.1:1/token",
        ),
        (&["steady"], "tip: to run a scenario: mintbench run steady"),
        (&["my.toml"], "tip: to run a scenario: mintbench run my.toml"),
    ] {
        let said = refused(args, &[]);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let said = refused(&["http://u:hush@127.0.0.1/?code=hush"], &[]);
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn a_file_is_refused_with_each_of_its_faults() {
    let world = "[[tenant]]\n[[vms]]\nname = 'a'\nadress = '127.0.0.2'\nsubscription = 'x'\nresource_group = 'g'\nsize = 2\n";
    let scenario = "warm-up = '1s'\n[[phase]]\nname = 'a'\nduration = '1s'\nprofile = { rate = 0, step = 1 }\nmix = [{ kind = 'hit', wait = 1 }]\n";
    let fleet = "[fleet]\nvms = 0\nvm = 1\n[nodes]\ncores = 1\ncount = 1\nlose = 1\n";
    let config = "[run]\nrte = 5\nrate = 5\n[swerve]\n[serve]\nalgo = 1\nalg = { x = 1 }\n";
    let out = tempfile::tempdir().unwrap();
    let out = out.path().join("out");
    let out = out.to_str().unwrap();
    for (text, before, after, expected) in [
        (
            world,
            &["serve", "--world"][..],
            &[][..],
            &[
                ":1: unknown field `tenant`",
                ":4: unknown field `adress`",
                ":7: unknown field `size`",
                ":5: the subscription `x`",
            ][..],
        ),
        (
            scenario,
            &["run", "--out", out],
            &[],
            &[
                ":1: unknown field `warm-up`",
                ":5: unknown field `step`",
                ":6: unknown field `wait`",
                "rate",
            ],
        ),
        (
            fleet,
            &["plan", "--fleet"],
            &[],
            &[
                ":3: unknown field `vm`",
                ":7: unknown field `lose`",
                "`fleet.vms` is 0",
                "`nodes.count` is 1",
            ],
        ),
        (
            config,
            &["run", "--config"],
            &["--rate=0"],
            &[
                ":2: [run] has the key `rte`, which is not a flag; did you mean `rate`?",
                ":4: [swerve] is not a command",
                ":6: [serve] has the key `algo`",
                ":7: the value of `alg` in [serve] is a table",
            ],
        ),
    ] {
        let named = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        std::fs::write(named.path(), text).unwrap();
        let said = refused(&[before, &[named.path().to_str().unwrap()], after].concat(), &[]);
        for part in expected {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
}

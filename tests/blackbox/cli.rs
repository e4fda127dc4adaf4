//! The command line: settings from flag, variable and file, and refusals that name the remedy.

use std::io::Write as _;

use crate::broker::{Broker, mintbench};

/// Runs the command, which must exit with 2 and print nothing on standard output. Returns its
/// standard error.
fn refused(args: &[&str]) -> String {
    let output = mintbench().args(args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{args:?}");
    assert!(output.stdout.is_empty(), "{args:?}");
    String::from_utf8(output.stderr).unwrap()
}

pub(crate) fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[test]
fn a_bad_world_file_is_refused_with_file_line_problem_and_remedy() {
    let world = file("[[tenants]]\nid = \"nonsense\"\n");
    let path = world.path().to_str().unwrap();
    let error = refused(&["serve", "--world", path]);
    let line = format!(
        "  {path}:2: `nonsense` is not a GUID; write it as 8-4-4-4-12 hexadecimal digits\n"
    );
    assert!(
        error.starts_with("error: the world file is refused\n") && error.contains(&line),
        "{error}"
    );
}

#[test]
fn wrong_settings_are_refused_and_nothing_is_started() {
    let other = Broker::serve(&[]);
    let taken = other.address("imds").to_string();
    for (args, expected) in [
        (["serve", "--world", "/nowhere.toml"], "cannot read `/nowhere.toml`"),
        (["serve", "--synthetic", "vms=0"], "vms=0 is out of range; use 1 to 16000000"),
        (
            ["serve", "--alg", "HS256"],
            "`HS256` is not a signature algorithm; use RS256, ES256 or EdDSA",
        ),
        (["serve", "--token-lifetime", "0s"], "use 1s to 366days"),
        (["serve", "--refresh-at", "2"], "use 0 to 1"),
        (["serve", "--cpus", "0,9999"], "cannot run on the cores 0,9999; allowed are"),
        (["serve", "--imds", "0.0.0.0:0"], "can be reached from other machines"),
        (["serve", "--imds", taken.as_str()], "another process does; stop it"),
        (["serve", "--sts", taken.as_str()], "another process does; stop it"),
        (["serve", "--imds", "169.254.1.2:0"], "this machine has no such address"),
        (["serve", "--authority-url", "login"], "write https:// and a host"),
        (["serve", "--authority-url", "https://u:p@host"], "write https:// and a host"),
        (["serve", "--workers", "0"], "invalid value '0'"),
        (["serve", "--trust-credential-issuer", "/nowhere.pem"], "cannot read `/nowhere.pem`"),
        (
            ["serve", "--config", "/nowhere.toml"],
            "the configuration file cannot be used: cannot read `/nowhere.toml`",
        ),
    ] {
        let error = refused(&args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_port_in_use_names_the_process_and_the_flag() {
    let other = Broker::serve(&[]);
    for (flag, surface) in [("--imds", "imds"), ("--sts", "sts"), ("--admin", "admin")] {
        let taken = other.address(surface).to_string();
        let error = refused(&["serve", flag, &taken]);
        let holder = format!("stop it (mintbench, process {})", other.pid());
        assert!(error.contains(&holder), "{error}");
        assert!(error.contains(&format!("as in {flag} 127.0.0.1:0")), "{error}");
    }
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let free = free.to_string();
    let error = refused(&["serve", "--imds", &free, "--sts", &free]);
    let said = "another endpoint of this server does; give each a port of its own, as in --sts";
    assert!(error.contains(said), "{error}");
}

#[test]
fn no_refusal_and_no_help_shows_what_a_url_may_hide() {
    for args in [
        &["run", "--target", "http://u:hush@127.0.0.1/"][..],
        &["run", "get+http://u:hush@127.0.0.1?code=hush"],
        &["run", "--target", "ftp://127.0.0.1/?code=hush"],
        &["run", "http://u:hush@127.0.0.1/"],
        &["compare", "--target", "http://u:hush@127.0.0.1/", "--target", "http://127.0.0.1"],
        &["merge", "--no-such-flag=http://u:hush@127.0.0.1/"],
    ] {
        let error = refused(args);
        assert!(!error.contains("hush"), "{args:?}: {error}");
    }
    let target = ("MINTBENCH_RUN_TARGET", "http://127.0.0.1/?code=hush");
    let help = mintbench().args(["run", "--help"]).envs([target]).output().unwrap();
    assert!(!String::from_utf8(help.stdout).unwrap().contains("hush"));
}

#[test]
fn a_target_in_the_file_is_a_target() {
    let config = file("[run]\ntarget = \"http://127.0.0.1:1\"\n");
    let path = config.path().to_str().unwrap();
    let refused_run = |args: &[&str]| refused(&[&["run", "--rate=0"], args].concat());
    let flags = ["--max-errors=0.5", "--ca=/nowhere.pem"];
    for flag in flags {
        let error = refused_run(&["--config", path, flag]);
        assert!(error.contains("--rate 0 is out of range"), "{flag}: {error}");
        let error = refused_run(&[flag]);
        assert!(error.contains("is about a target and there is none"), "{flag}: {error}");
    }
    let error = refused_run(&["--warmup=0s", "--out-csv=x"]);
    assert!(error.contains("--rate 0 is out of range"), "no other flag needs one: {error}");
}

#[test]
fn a_value_that_is_none_is_refused_with_one_that_is() {
    for (args, expected) in [
        (["run", "--rate=x"], "'x' for '--rate <N>'; write a number, such as 1000 or 0.5\n"),
        (["run", "--seed=x"], "'x' for '--seed <N>'; write a whole number, such as 10\n"),
        (["run", "--seed=99999999999999999999"], "for '--seed <N>'; write a smaller number\n"),
        (["run", "--duration=x"], "'--duration <TIME>'; write a number with a unit, such as 10s"),
        (["serve", "--token-lifetime=x"], "<TIME>': write a number with a unit, such as 10s"),
        (
            ["serve", "--workers=0"],
            "invalid value '0' for '--workers <N>'; write a number above 0\n",
        ),
        (["serve", "--imds=here"], "'--imds <ADDR>'; write an IP address and a port, such as"),
        (
            ["token", "--vm-address=x"],
            "'--vm-address <IP>'; write an IP address, such as 127.0.0.5\n",
        ),
        (["plan", "--replications=1"], "'--replications <N>'; use 2 to 1000\n"),
        (["run", "--vms=-5"], "write a number that is not negative"),
    ] {
        let error = refused(&args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn a_run_without_a_rate_of_its_own_is_not_told_to_lower_it() {
    let error = refused(&["run", "outage", "--vms=3"]);
    assert!(error.contains("distinct keys"), "{error}");
    assert!(error.ends_with("; raise --vms or --user-assigned\n"), "{error}");
    let error = refused(&["run", "mint", "--vms=1", "--user-assigned=0"]);
    assert!(error.contains("; lower --rate or --duration, or raise --vms"), "{error}");
}

#[test]
fn the_help_names_what_each_command_does() {
    let help = mintbench().arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for line in [
        "group        Manage resource groups",
        "identity     Manage user-assigned identities",
        "role         Assign roles to principals at scopes",
        "secret       Manage secrets in vaults",
        "vault        Manage vaults",
        "vm           Manage virtual machines and their identities",
    ] {
        assert!(help.contains(line), "{line}: {help}");
    }
}

#[test]
fn a_comparison_says_what_it_lacks() {
    let targets = ["compare", "--target", "http://127.0.0.1:1", "--target", "http://127.0.0.1:1"];
    for (args, expected) in [
        (&["compare", "a,b", "c,d"][..], "takes two result folders, not 4"),
        (&["compare", "a"], "takes two result folders, not 1; name A and B"),
        (&["compare"], "give --target twice, or name two result folders"),
        (&[&targets[..], &["--block=0s"]].concat(), "--block 0s is out of range; use 100ms to"),
    ] {
        let error = refused(args);
        assert!(error.contains(expected), "{args:?}: {error}");
    }
}

#[test]
fn a_flag_wins_over_the_variable_and_the_variable_over_the_file() {
    let config = file("[serve]\nalg = \"ES256\"\nmint-queue = 0\n");
    let path = config.path().to_str().unwrap();
    let alg = |flags: &[&str], variable: Option<&str>| {
        let mut all = vec!["--config", path, "--mint-queue", "10"];
        all.extend(flags);
        let broker = Broker::serve_with(&all, |command| {
            command.envs(variable.map(|alg| ("MINTBENCH_SERVE_ALG", alg)));
        });
        broker.connect("sts").get("/common/discovery/keys").json()["keys"][0]["alg"].clone()
    };
    assert_eq!(alg(&[], None), "ES256");
    assert_eq!(alg(&[], Some("EdDSA")), "EdDSA");
    assert_eq!(alg(&["--alg", "RS256"], Some("EdDSA")), "RS256");
}

#[test]
fn of_two_worlds_the_nearer_setting_names_the_one() {
    let config = file("[serve]\nworld = \"/nowhere.toml\"\n");
    let path = config.path().to_str().unwrap();
    let broker = Broker::serve(&["--config", path, "--synthetic", "vms=3"]);
    assert_eq!(broker.metric::<u32>("mintbench_virtual_machines"), 3);
    let error = refused(&["serve", "--world", "/nowhere.toml", "--synthetic", "vms=3"]);
    assert!(
        error.contains("--world and --synthetic each name a world; give one of them"),
        "{error}"
    );
}

#[test]
fn a_configuration_file_with_an_unknown_name_is_refused() {
    for (text, expected) in [
        ("[serve]\nalgo = \"ES256\"\n", "[serve] has the key `algo`, which is not a flag"),
        (
            "[swerve]\n",
            "[swerve] is not a command; use one of: completions, group, identity, role, secret, token, vault, vm, doctor, env, exec, gate, health, merge, plan, report, run, serve, store, world",
        ),
        ("serve = 1\n", ":1: serve: invalid type: integer `1`, expected a map"),
        ("[serve]\nalg = { x = 1 }\n", "the value of `alg` in [serve] is a table"),
        ("[serve\n", ":1: "),
    ] {
        let config = file(text);
        let error = refused(&["serve", "--config", config.path().to_str().unwrap()]);
        assert!(error.contains(expected), "{text}: {error}");
    }
}

#[test]
fn help_and_version_are_results_not_errors() {
    for args in [["--help"], ["--version"]] {
        let output = mintbench().args(args).output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty() && output.stderr.is_empty());
    }
    let help = mintbench().args(["serve", "--help"]).output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    assert!(text.contains("--token-lifetime") && text.contains("MINTBENCH_SERVE_TOKEN_LIFETIME"));
}

//! Hands the build's provenance to the crate: git commit, cleanliness, profile and compiler; and
//! lets the model checker stand in for the locks of `sync.rs` when it is asked for.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rustc-check-cfg=cfg(mintbench_shuttle)");
    println!("cargo::rerun-if-env-changed=MINTBENCH_SHUTTLE");
    if std::env::var_os("MINTBENCH_SHUTTLE").is_some() {
        println!("cargo::rustc-cfg=mintbench_shuttle");
    }
    provide_provenance();
}

fn provide_provenance() {
    let dirty = output("git", &["status", "--porcelain"]).map(|lines| !lines.is_empty());
    provide("COMMIT", output("git", &["rev-parse", "HEAD"]));
    provide("DIRTY", dirty.map(|dirty| dirty.to_string()));
    provide("PROFILE", profile());
    provide("RUSTC", std::env::var("RUSTC").ok().and_then(|rustc| output(&rustc, &["--version"])));
    // A commit moves the reflog even where `HEAD` goes on naming the same branch.
    for file in ["HEAD", "logs/HEAD", "index"] {
        if let Some(path) = output("git", &["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    for path in ["build.rs", "src", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// The folder of the build below `target/`: `debug`, `release`, or the name of another profile. Cargo's
/// own `PROFILE` says `release` for every profile that inherits it.
fn profile() -> Option<String> {
    let out = std::env::var("OUT_DIR").ok()?;
    let build = Path::new(&out).ancestors().find(|folder| folder.ends_with("build"))?;
    Some(build.parent()?.file_name()?.to_str()?.to_owned())
}

fn provide(name: &str, value: Option<String>) {
    println!("cargo::rustc-env=MINTBENCH_BUILD_{name}={}", value.unwrap_or("unknown".to_owned()));
}

/// The trimmed standard output of a command that succeeds; a build from a tarball has no git.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

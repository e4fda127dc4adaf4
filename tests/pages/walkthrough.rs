//! Tests of `docs/walkthrough.md`: its commands run in order, in one shell, against a real server.
//!
//! The output must match the page, except for ids, tokens, times and ports, which differ each time.
//! `MINTBENCH_BLESS=1` rewrites the page.

use std::fmt::Write as _;

use crate::server::{PORTS, Server};
use crate::shell::Shell;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/walkthrough.md");

/// Returns the server's output with the default ports.
fn output(server: &Server) -> String {
    let line =
        |line: &String| match PORTS.iter().find(|(name, _)| line.split(' ').next() == Some(name)) {
            Some((_, port)) => {
                let (head, _) = line.rsplit_once(':').unwrap();
                format!("{head}:{port}\n")
            }
            None => format!("{line}\n"),
        };
    server.lines.iter().map(line).collect()
}

/// Returns the page with the output of its commands run now.
fn run(page: &str, server: &Server, shell: &mut Shell) -> String {
    let mut written = String::new();
    let mut block = None;
    for line in page.lines() {
        match (line, block) {
            ("```serve" | "```console", None) => {
                block = Some(line);
                writeln!(written, "{line}").unwrap();
                if line == "```serve" {
                    let output = tidy(&output(server));
                    write!(written, "$ mintbench serve --data mintbench-data\n{output}").unwrap();
                }
            }
            ("```", Some(_)) => {
                block = None;
                writeln!(written, "{line}").unwrap();
            }
            (line, Some("```console")) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let output = tidy(&shell.run(command).output);
                    write!(written, "{line}\n{output}").unwrap();
                }
            }
            (_, Some(_)) => {}
            (line, None) => writeln!(written, "{line}").unwrap(),
        }
    }
    written
}

/// Shortens tokens and removes spaces at the ends of lines.
fn tidy(output: &str) -> String {
    let shorten = |line: &str| match line.split_once("\"access_token\": \"") {
        Some((head, _)) => {
            format!("{head}\"access_token\": \"eyJ0eXAiOiJKV1QiLCJhbGciOiJS...\",\n")
        }
        None => format!("{}\n", line.trim_end()),
    };
    output.lines().map(shorten).collect()
}

/// Returns the page without ids, times and column widths. Each id is replaced by the order of its
/// first use, so that equal ids stay equal.
fn essence(page: &str) -> String {
    let mut ids: Vec<String> = Vec::new();
    let mut essence = String::new();
    for word in page.split_inclusive(|byte: char| !(byte.is_ascii_hexdigit() || byte == '-')) {
        let bare = word.trim_end_matches(|byte: char| !byte.is_ascii_hexdigit());
        let is_guid = bare.len() == 36 && bare.matches('-').count() == 4;
        let is_time = bare.len() == 10 && bare.bytes().all(|byte| byte.is_ascii_digit());
        let rest = word.get(bare.len()..).unwrap_or_default();
        if is_guid {
            let known = ids.iter().position(|id| id == bare);
            let number = known.unwrap_or_else(|| {
                ids.push(bare.to_owned());
                ids.len() - 1
            });
            write!(essence, "<id {number}>{rest}").unwrap();
        } else if is_time {
            write!(essence, "<time>{rest}").unwrap();
        } else {
            essence.push_str(word);
        }
    }
    essence
}

#[test]
fn the_page_says_what_its_commands_print() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), &["--data", "mintbench-data"]);
    let mut shell = Shell::start(folder.path());
    let printed = run(&page, &server, &mut shell);
    if std::env::var_os("MINTBENCH_BLESS").is_some() {
        std::fs::write(PAGE, &printed).unwrap();
        return;
    }
    let (expected, actual) = (essence(&page), essence(&printed));
    for (line, (expected, actual)) in expected.lines().zip(actual.lines()).enumerate() {
        assert_eq!(actual, expected, "docs/walkthrough.md:{}", line + 1);
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{printed}");
}

//! `docs/walkthrough.md`, run: every command of the page, in order, in one shell, against a real server.
//!
//! What is printed has to be what the page says, but for what is another each time: ids, tokens, times
//! and ports. `MINTBENCH_BLESS=1` writes the page anew.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/walkthrough.md");
const BINARY: &str = env!("CARGO_BIN_EXE_mintbench");

/// The ports that a server takes when it is not told others, as the page shows them.
const PORTS: [(&str, u16); 5] =
    [("imds", 8169), ("sts", 8170), ("arm", 8172), ("vault", 8173), ("admin", 8171)];

struct Server {
    process: Child,
    /// What it printed.
    lines: Vec<String>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(BINARY);
        command.current_dir(folder).args(["serve", "--data", "mintbench-data"]);
        for (name, _) in PORTS {
            command.env(format!("MINTBENCH_SERVE_{}", name.to_uppercase()), "127.0.0.1:0");
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = Vec::new();
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            lines.push(line.unwrap());
            if lines.last().is_some_and(|line| line == "ready") {
                break;
            }
        }
        assert!(lines.last().is_some_and(|line| line == "ready"), "{lines:?}");
        Self { process, lines }
    }

    /// The output with the ports of a server that was told none.
    fn output(&self) -> String {
        let line = |line: &String| match PORTS.iter().find(|(name, _)| line.starts_with(*name)) {
            Some((_, port)) => {
                let (head, _) = line.rsplit_once(':').unwrap();
                format!("{head}:{port}\n")
            }
            None => format!("{line}\n"),
        };
        self.lines.iter().map(line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// One shell for the whole page: variables live on.
struct Shell {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    fn start(folder: &Path) -> Self {
        let binaries = Path::new(BINARY).parent().unwrap().display().to_string();
        let path = std::env::var("PATH").unwrap();
        let mut process = Command::new("sh")
            .current_dir(folder)
            .env("PATH", format!("{binaries}:{path}"))
            .env_remove("MINTBENCH_DATA")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut shell = Self { process, output };
        shell.run("exec 2>&1");
        shell
    }

    fn run(&mut self, command: &str) -> String {
        const END: &str = "-- the end of a command --";
        let stdin = self.process.stdin.as_mut().unwrap();
        // A value that is printed without a newline must not hide the mark.
        writeln!(stdin, "{command}\nprintf '\\n%s\\n' '{END}'").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell ended: {printed}");
            if line.trim_end() == END {
                // The newline before the mark is ours, unless the output had none at its end.
                let own = printed.strip_suffix('\n').unwrap();
                let ended = own.is_empty() || own.ends_with('\n');
                return if ended { own.to_owned() } else { format!("{own}\n") };
            }
            printed.push_str(&line);
        }
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The page as it would be, had its commands been run now.
fn run(page: &str, server: &Server, shell: &mut Shell) -> String {
    let mut written = String::new();
    let mut block = None;
    for line in page.lines() {
        match (line, block) {
            ("```serve" | "```console", None) => {
                block = Some(line);
                writeln!(written, "{line}").unwrap();
                if line == "```serve" {
                    let output = tidy(&server.output());
                    write!(written, "$ mintbench serve --data mintbench-data\n{output}").unwrap();
                }
            }
            ("```", Some(_)) => {
                block = None;
                writeln!(written, "{line}").unwrap();
            }
            (line, Some("```console")) => {
                if let Some(command) = line.strip_prefix("$ ") {
                    let output = tidy(&shell.run(command));
                    write!(written, "{line}\n{output}").unwrap();
                }
            }
            (_, Some(_)) => {}
            (line, None) => writeln!(written, "{line}").unwrap(),
        }
    }
    written
}

/// Shortens tokens, and drops spaces at ends of lines.
fn tidy(output: &str) -> String {
    let shorten = |line: &str| match line.split_once("\"access_token\": \"") {
        Some((head, _)) => {
            format!("{head}\"access_token\": \"eyJ0eXAiOiJKV1QiLCJhbGciOiJS...\",\n")
        }
        None => format!("{}\n", line.trim_end()),
    };
    output.lines().map(shorten).collect()
}

/// What is left when ids, times and the width of columns are taken away: each id is named by the order
/// in which it comes, so that the same id in two places is still the same.
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
    let server = Server::start(folder.path());
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

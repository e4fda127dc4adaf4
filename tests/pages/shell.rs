//! A shell that runs the commands of a page.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::server::BINARY;

/// The result of a command.
pub(crate) struct Ran {
    /// The output to both streams.
    pub(crate) output: String,
    /// The exit code.
    pub(crate) code: i32,
}

/// One shell for the whole page, so that variables persist.
pub(crate) struct Shell {
    process: Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Shell {
    pub(crate) fn start(folder: &Path) -> Self {
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

    /// Runs a command. Variables that it sets persist.
    pub(crate) fn run(&mut self, command: &str) -> Ran {
        const END: &str = "-- the end of a command --";
        let stdin = self.process.stdin.as_mut().unwrap();
        // A value printed without a newline must not hide the mark.
        writeln!(stdin, "{command}\nprintf '\\n%s %s\\n' '{END}' \"$?\"").unwrap();
        let mut printed = String::new();
        loop {
            let mut line = String::new();
            assert!(self.output.read_line(&mut line).unwrap() > 0, "the shell ended: {printed}");
            if let Some(code) = line.strip_prefix(END) {
                // The newline before the mark is the test's own, unless the output did not end in
                // one.
                let own = printed.strip_suffix('\n').unwrap();
                let ended = own.is_empty() || own.ends_with('\n');
                let output = if ended { own.to_owned() } else { format!("{own}\n") };
                return Ran { output, code: code.trim().parse().unwrap() };
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

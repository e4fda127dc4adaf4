//! A server on free ports, shown in pages with the default ports.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_mintbench");

/// The default ports of a server, as the pages show them.
pub(crate) const PORTS: [(&str, u16); 5] =
    [("imds", 8169), ("sts", 8170), ("arm", 8172), ("vault", 8173), ("admin", 8171)];

pub(crate) struct Server {
    process: Child,
    /// The lines that the server printed.
    pub(crate) lines: Vec<String>,
}

impl Server {
    /// Starts `mintbench serve` with these flags. Endpoints without a flag use free ports.
    pub(crate) fn start(folder: &Path, flags: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.current_dir(folder).arg("serve").args(flags);
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
        assert!(lines.last().is_some_and(|line| line == "ready"), "{flags:?}: {lines:?}");
        Self { process, lines }
    }

    /// Returns the port of an endpoint.
    pub(crate) fn port(&self, name: &str) -> u16 {
        let line = self.lines.iter().find(|line| line.split(' ').next() == Some(name)).unwrap();
        line.rsplit_once(':').unwrap().1.parse().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

//! Tests of `README.md`, `docs/USER-GUIDE.md`, `docs/key-vault.md` and
//! `docs/service-principals.md`. The mark of each shell block defines its test.
//!
//! | block | what happens |
//! |---|---|
//! | `sh serve` | each `mintbench serve` starts; it stays for the blocks below |
//! | `sh run` | each command has to succeed |
//! | `sh elsewhere` | nothing: other tests do the same, or it changes the machine |
//! | `toml NAME` | becomes the file NAME |
//!
//! Servers use free ports. Commands get these in place of the ports that the page names.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use crate::server::{PORTS, Server};
use crate::shell::Shell;

/// A fenced block: the mark after its fence, its line in the page, and its text.
struct Block {
    mark: String,
    line: usize,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut open = false;
    for (index, line) in page.lines().enumerate() {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(mark) => {
                open = true;
                blocks.push(Block { mark: mark.to_owned(), line: index + 1, text: String::new() });
            }
            None if open => {
                let block = blocks.last_mut().unwrap();
                block.text.push_str(line);
                block.text.push('\n');
            }
            None => {}
        }
    }
    blocks
}

/// Returns the commands of a block. A line that ends in a backslash continues on the next.
fn commands(text: &str) -> Vec<String> {
    let whole = text.replace("\\\n", " ");
    whole.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned).collect()
}

/// The state of a page while its blocks run.
struct Session {
    folder: tempfile::TempDir,
    shell: Shell,
    /// Running servers by their data folder.
    servers: BTreeMap<String, Server>,
    /// The real port for each port of the page.
    ports: BTreeMap<u16, u16>,
}

impl Session {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let shell = Shell::start(folder.path());
        Self { folder, shell, servers: BTreeMap::new(), ports: BTreeMap::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts a server. An earlier one with the same folder ends first.
    fn serve(&mut self, command: &str) {
        let command = command.split(" # ").next().unwrap();
        let mut named = Vec::new();
        let mut flags: Vec<String> = Vec::new();
        for word in command.split_whitespace().skip(2) {
            let place = word.strip_prefix("127.0.0.1:").map(|port| port.parse::<u16>().unwrap());
            if let Some((port, flag)) = place.zip(flags.last()) {
                named.push((port, flag.trim_start_matches("--").to_owned()));
                flags.push("127.0.0.1:0".to_owned());
            } else {
                flags.push(self.placed(word));
            }
        }
        let data = flags.iter().skip_while(|flag| *flag != "--data").nth(1);
        let data = data.cloned().unwrap_or_default();
        self.servers.remove(&data);
        let server = Server::start(
            self.folder.path(),
            &flags.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        for (name, port) in PORTS {
            self.ports.insert(port, server.port(name));
        }
        for (port, name) in named {
            self.ports.insert(port, server.port(&name));
        }
        self.servers.insert(data, server);
    }

    /// Replaces the ports of the page in `text` by those of the servers.
    fn placed(&self, text: &str) -> String {
        self.ports.iter().fold(text.to_owned(), |text, (page, real)| {
            text.replace(&format!("127.0.0.1:{page}"), &format!("127.0.0.1:{real}"))
        })
    }

    fn run(&mut self, command: &str, at: &str) {
        if command.starts_with("python3 ") {
            return self.ask_as_an_sdk(at);
        }
        let command = self.placed(command);
        let ran = self.shell.run(&command);
        assert_eq!(ran.code, 0, "{at}: {command}\n{}", ran.output);
    }

    /// Requests a token as an SDK that follows the variable does. `tests/sdk` uses real SDKs.
    fn ask_as_an_sdk(&mut self, at: &str) {
        let host = self.shell.run("echo \"$AZURE_POD_IDENTITY_AUTHORITY_HOST\"").output;
        let address = host.trim().strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let path = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net";
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {address}\r\nMetadata: true\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 200 ") && answer.contains("access_token"),
            "{at}: {answer}"
        );
    }
}

/// Runs the blocks of a page and returns the number of commands.
fn run(page: &str) -> usize {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
    let blocks = blocks(&std::fs::read_to_string(path).unwrap());
    let mut session = Session::new();
    for block in &blocks {
        if let Some(name) = block.mark.strip_prefix("toml ") {
            std::fs::write(session.path(name), &block.text).unwrap();
        }
    }
    let mut count = 0;
    for block in blocks.iter().filter(|block| block.mark.starts_with("sh")) {
        let at = format!("{page}:{}", block.line);
        for command in commands(&block.text) {
            match block.mark.as_str() {
                // The program under test is already installed.
                "sh serve" if command.starts_with("cargo install ") => {}
                "sh serve" => session.serve(&command),
                "sh run" => session.run(&command, &at),
                "sh elsewhere" => continue,
                mark => panic!(
                    "{at}: `{mark}` does not say how the block is tested; write sh serve, sh run or sh elsewhere"
                ),
            }
            count += 1;
        }
    }
    count
}

#[test]
fn what_the_readme_says_works() {
    assert!(run("README.md") >= 5);
}

#[test]
fn what_the_user_guide_says_works() {
    assert!(run("docs/USER-GUIDE.md") >= 20);
}

#[test]
fn what_the_page_about_key_vault_says_works() {
    assert!(run("docs/key-vault.md") >= 10);
}

#[test]
fn the_world_of_the_page_about_service_principals_starts() {
    assert!(run("docs/service-principals.md") >= 1);
}

//! Result folders that hold nothing.

use std::process::Command;

use crate::against;
use crate::server::Manner;

#[test]
fn a_folder_that_a_killed_run_left_empty_is_explained_and_can_be_used() {
    let empty = tempfile::tempdir().unwrap();
    let path = empty.path().to_str().unwrap();
    for args in [&["report", path][..], &["merge", path, "--out", "target/never"]] {
        let output = Command::new(env!("CARGO_BIN_EXE_mintbench")).args(args).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains("is empty") && stderr.contains("killed before the load"),
            "{stderr}"
        );
    }
    // `against` makes its run in a folder that exists and is empty.
    let delay = Manner::Delay(std::time::Duration::ZERO);
    against(delay, &["--rate=50", "--duration=500ms", "--pacer-test=0s"]).has_result();
}

//! `mintbench`: see `mintbench --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(mintbench::cli::main(std::env::args_os()) as u8)
}

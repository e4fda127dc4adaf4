//! The program of every fuzz target: its name says which one.

#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| mintbench::fuzz::run(env!("CARGO_BIN_NAME"), input));

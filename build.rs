//! Lets the model checker stand in for the locks of `sync.rs` when it is asked for.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(mintbench_shuttle)");
    println!("cargo::rerun-if-env-changed=MINTBENCH_SHUTTLE");
    if std::env::var_os("MINTBENCH_SHUTTLE").is_some() {
        println!("cargo::rustc-cfg=mintbench_shuttle");
    }
}

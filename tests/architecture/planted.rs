//! Planted violations: each rule gets a text that breaks it, and one that only seems to.

use crate::rules::check;
use crate::table;

/// Asserts that the file is refused with exactly the messages that contain `expected`, in order.
#[track_caller]
fn refused(path: &str, text: &str, expected: &[&str]) {
    let wrong = check(path, text);
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (message, part) in wrong.iter().zip(expected) {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn a_plain_import_upwards_is_caught() {
    let expected = "src/cache/mod.rs:2: `cache` may not name `http`; move what is shared down";
    refused("src/cache/mod.rs", "//! Doc.\nuse crate::http::Limits;\n", &[expected]);
    refused(
        "src/cache.rs",
        "pub(crate) use crate::http::Limits;",
        &["`cache` may not name `http`"],
    );
    refused("src/cache.rs", "use crate::http;", &["may not name `http`"]);
    refused("src/cache.rs", "use crate::http as h;", &["may not name `http`"]);
}

#[test]
fn a_grouped_import_upwards_is_caught() {
    let text = "use crate::{clock::Clock, http, ids::{ArmId, ClientId}, server as s};";
    refused("src/token/jwks.rs", text, &["may not name `http`", "may not name `server`"]);
}

#[test]
fn a_nested_import_over_several_lines_is_caught_where_it_stands() {
    let text = "use crate::{\n    ids::{\n        http,\n        ArmId,\n    },\n    broker::{\n        Broker,\n    },\n};\n";
    refused("src/store/log.rs", text, &["src/store/log.rs:6: `store` may not name `broker`"]);
}

#[test]
fn an_inline_path_is_caught() {
    let text = "fn f(x: &crate::server::Server) -> u8 { crate :: vault :: get(x) }";
    refused("src/imds/mod.rs", text, &["may not name `server`", "may not name `vault`"]);
    refused("src/world/mod.rs", "macro_rules! m { () => { $crate::cache::f() } }", &["`cache`"]);
    refused("src/world/mod.rs", "use mintbench::cache::Cache;", &["`world` may not name `cache`"]);
}

#[test]
fn super_that_leaves_the_module_is_caught() {
    refused("src/ids.rs", "use super::world::World;", &["`ids` may not name `world`"]);
    refused("src/load/pace.rs", "use super::super::broker::Broker;", &["may not name `broker`"]);
    refused("src/load/pace.rs", "use super::{super::{token, clock}, record};", &["`token`"]);
    refused(
        "src/load/mod.rs",
        "mod a { use super::super::token::T; }\nuse self::a::b;",
        &["`token`"],
    );
    refused(
        "src/load/pace.rs",
        "use super::broker::Broker;\nmod t { use super::super::broker; }",
        &[],
    );
}

#[test]
fn the_crate_root_as_a_whole_is_caught() {
    let expected = "names the crate root as a whole";
    for text in ["use crate::*;", "use crate as all;", "use crate::{self};", "use super::*;"] {
        refused("src/ids.rs", text, &[expected]);
    }
}

#[test]
fn the_measuring_side_is_kept_out_of_the_broker() {
    refused("src/cli/run.rs", "use crate::server::Server;", &["`cli` may not name `server`"]);
    refused("src/cli/serve.rs", "use crate::{cli::Exit, server};", &[]);
    refused("src/cli/serve.rs", "use crate::token;", &["`cli/serve` may not name `token`"]);
    refused(
        "src/load/mod.rs",
        "use crate::{world::synthetic::Synthetic, clock, ids, imds};",
        &["`imds`"],
    );
    refused("src/stats/mod.rs", "use crate::clock::Monotonic;", &["may not name `clock`"]);
}

#[test]
fn a_module_without_a_row_is_told_what_to_do() {
    refused("src/queue/mod.rs", "", &["`queue` has no row in the arrow table; give it one"]);
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = r##"
        //! See crate::http and `x.unwrap()`, TODO(#12).
        /* crate::server /* nested */ crate::broker */
        fn f<'a>(c: &'a char) -> bool {
            let _ = ("crate::http \" crate::http", r#"a " crate::http"#, b"\"crate::vault", '"');
            *c == '\'' || *c == 'c' || "x.unwrap() Instant::now() FIXME".is_empty()
        }
    "##;
    refused("src/ids.rs", text, &[]);
    refused("src/ids.rs", "const Q: char = '\"'; use crate::http;", &["`http`"]);
    refused("src/ids.rs", "fn f<'a>() {} /*/ x */ use crate::http;", &["`http`"]);
    refused("src/ids.rs", "pub(crate) fn f() {}\nimpl X { pub(super) fn g(self) {} }", &[]);
}

#[test]
fn long_files_vague_names_and_unfiled_notes_are_caught() {
    refused("tests/long.rs", &"\n".repeat(501), &["tests/long.rs: 501 lines, more than 500"]);
    refused("tests/common/mod.rs", "", &["the name `common` says nothing"]);
    refused("src/ids.rs", "mod utils {}", &["the name `utils` says nothing"]);
    let note = "// TODO later\n// FIXME(#x) also\n// TODO(#7): fine\n";
    refused("benches/a.rs", note, &["benches/a.rs:1: a note", "benches/a.rs:2: a note"]);
}

#[test]
fn panics_outside_tests_are_caught_unless_excused() {
    refused(
        "src/ids.rs",
        "fn f() { a.unwrap(); b.expect(c); d.unwrap_or(e) }",
        &["`unwrap`", "`expect`"],
    );
    refused("src/ids.rs", "#[cfg(all(test, x))]\nmod t { fn f() { a.unwrap() } }", &[]);
    refused("src/ids.rs", "#[cfg(not(test))]\nfn f() { a.unwrap() }", &["`unwrap`"]);
    refused("src/ids.rs", "#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }", &[]);
    let excused = "fn f() {\n    #[expect(clippy::expect_used, reason = \"..\")]\n    let a = b.expect(c);\n    ";
    refused("src/ids.rs", &format!("{excused}}}"), &[]);
    refused("src/ids.rs", &format!("{excused}d.unwrap();}}"), &["src/ids.rs:4: `unwrap` outside"]);
    refused("src/token/tests.rs", "fn f() { a.unwrap() }", &[]);
    refused("benches/a.rs", "fn f() { a.unwrap() }", &[]);
}

#[test]
fn only_the_clock_reads_time() {
    refused(
        "src/ids.rs",
        "use std::time::Instant; fn f() { Instant::now(); }",
        &["only src/clock.rs"],
    );
    refused(
        "src/load/mod.rs",
        "fn f() { clock_gettime(ClockId::Realtime) }",
        &["only src/clock.rs"],
    );
    refused("src/load/mod.rs", "fn f() { clock_gettime(ClockId::ProcessCPUTime) }", &[]);
    refused("src/clock.rs", "fn f() { SystemTime::now(); }", &[]);
}

#[test]
fn only_the_terminal_is_written_to() {
    let expected = "only src/cli/terminal.rs writes to a terminal";
    for text in ["eprintln!(\"{x}\")", "std::io::stdout().lock()", "let out = stderr()"] {
        refused("src/cli/run.rs", &format!("fn f() {{ {text}; }}"), &[expected]);
        refused("src/cli/terminal.rs", &format!("fn f() {{ {text}; }}"), &[]);
    }
    refused(
        "src/cli/run.rs",
        "fn f() { command.stdout(Stdio::null()); child.stderr.take(); }",
        &[],
    );
}

#[test]
fn a_cycle_in_the_table_is_caught() {
    let table = &[("a", "b"), ("b", "a c")];
    assert_eq!(table::upward(table), ["b -> a does not point down", "b -> c does not point down"]);
}

//! Planted violations: each rule gets a small tree that breaks it, and one that only seems to.

use std::collections::BTreeMap;

use crate::table::MAY_NAME;

/// Empty files, so that the planted code has something to name.
const EMPTY: [&str; 20] = [
    "lib.rs",
    "base/mod.rs",
    "cli/mod.rs",
    "harness/mod.rs",
    "service/mod.rs",
    "base/clock.rs",
    "base/ids.rs",
    "base/tls.rs",
    "service/admin.rs",
    "service/server.rs",
    "service/token.rs",
    "service/world.rs",
    "service/vault.rs",
    "harness/driver/mod.rs",
    "harness/driver/pool.rs",
    "harness/judge.rs",
    "harness/report.rs",
    "harness/stats.rs",
    "cli/gate.rs",
    "cli/terminal.rs",
];

/// Asserts that the files are refused with exactly the messages that contain `expected`.
#[track_caller]
fn refused(files: &[(&str, &str)], expected: &[&str]) {
    let mut tree: BTreeMap<String, String> =
        EMPTY.iter().map(|path| (format!("src/{path}"), String::new())).collect();
    tree.extend(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())));
    let wrong = crate::check(&tree);
    assert_eq!(wrong.len(), expected.len(), "{wrong:#?}");
    for (message, part) in wrong.iter().zip(expected) {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn wings_name_only_what_the_table_allows() {
    let no_service = "is in `service::world`, which `harness` may not name";
    refused(&[("src/harness/judge.rs", "\nuse crate::service::world::W;")], &[no_service]);
    let message = "src/harness/judge.rs:2: `crate::service::world::W` is in";
    refused(&[("src/harness/judge.rs", "\nuse crate::service::world::W;")], &[message]);
    let test = "#[cfg(test)] mod tests { use crate::service::world::W; }";
    refused(&[("src/harness/judge.rs", test)], &[no_service]);
    let no_harness = "`service` may not name";
    refused(&[("src/service/server.rs", "use crate::harness::judge;")], &[no_harness]);
    refused(&[("src/base/ids.rs", "use crate::service::world;")], &["`base` may not name"]);
    refused(&[("src/main.rs", "use mintbench::base::ids;")], &["`main` may not name"]);
    refused(&[("src/cli/gate.rs", "use crate::service::server;")], &["`cli` may not name"]);
    refused(&[("src/cli/serve.rs", "use crate::service::server;")], &[]);
    let control = "`cli::control` may not name";
    refused(&[("src/cli/control.rs", "use crate::service::{server, world};")], &[control]);
    let control = "src/cli/control/client.rs";
    refused(&[(control, "use crate::service::token::T;")], &["`cli::control` may not name"]);
    refused(&[("src/cli/control/tests.rs", "use crate::service::token::T;")], &[]);
    let stats = "`harness::stats` may not name";
    refused(&[("src/harness/stats.rs", "use crate::base::clock::Monotonic;")], &[stats]);
    let cache = "`service::cache` may not name";
    refused(&[("src/service/cache.rs", "use crate::service::world::W;")], &[cache]);
    refused(&[("src/queue.rs", "use crate::base::ids;")], &["no row in MAY_NAME"]);
}

#[test]
fn the_table_points_down_and_keeps_the_two_sides_apart() {
    let wing = |module: &str| module.split("::").next().unwrap().to_owned();
    let wings: Vec<String> = MAY_NAME.iter().map(|(row, _)| wing(row)).collect();
    for (row, allowed) in MAY_NAME {
        let own = wings.iter().rposition(|other| *other == wing(row)).unwrap();
        for named in allowed.split_whitespace().map(wing) {
            let below = wings.iter().skip(own + 1).any(|other| *other == named);
            assert!(below || named == wing(row), "{row} may name {named}");
            let sides =
                [wing(row).as_str(), &named].map(|wing| ["harness", "service"].contains(&wing));
            assert!(sides != [true, true] || named == wing(row), "{row} may name {named}");
        }
    }
}

#[test]
fn rooms_name_only_rooms_of_lower_lines() {
    let up = "is in `harness::judge`, which is not below `harness::driver`";
    refused(&[("src/harness/driver/pool.rs", "use crate::harness::judge::Cut;")], &[up]);
    refused(&[("src/harness/judge.rs", "use super::driver::Pool;")], &[]);
    let peers = "is in `service::vault`, which is not below `service::admin`";
    refused(&[("src/service/admin.rs", "use crate::service::vault;")], &[peers]);
    let test = "#[cfg(all(test, x))]\nmod tests { use crate::harness::judge::Cut; }";
    refused(&[("src/harness/driver/pool.rs", test)], &[]);
    let own = ("src/harness/mod.rs", "pub(crate) mod stats; pub(crate) struct H;");
    let whole = "names the wing `harness` as a whole";
    refused(&[own, ("src/harness/judge.rs", "use super::H;")], &[whole]);
    let new = ("src/harness/queue.rs", "use crate::harness::judge;");
    refused(&[new], &["one of them has no line in ROOMS"]);
}

/// Every way to write an upward arrow from `harness::driver::pool` to `harness::report`.
#[test]
fn an_upward_arrow_is_caught_however_it_is_written() {
    let up = "is in `harness::report`, which is not below `harness::driver`";
    for text in [
        "use crate::harness::report;",
        "use crate::harness::report as r;",
        "pub(crate) use crate::harness::report::R;",
        "use crate::{base::{ids, clock::{self, C}}, harness::{report::R, stats}};",
        "use super::super::report::R;",
        "use super::{super::{report::R, stats}, D};",
        "mod a { use super::super::super::report::R; }",
        "fn f(r: &crate::harness::report::R) {}",
        "fn f() -> u8 { crate :: harness :: report :: get(1) }",
        "fn f() { use super::super::report::R; }",
        "fn f() { let x = Vec::<crate::harness::report::R>::new(); }",
        "fn f() { println(format!(\"{}\", super::super::report::R)); }",
        "macro_rules! m { () => { $crate::harness::report::f() } }",
        "#[error(\"{}\", crate::harness::report::f(.0))] struct E;",
    ] {
        refused(&[("src/harness/driver/pool.rs", text)], &[up]);
    }
    let text = "use crate::harness; fn f() { harness::report::f() }";
    let whole = "names the wing `harness` as a whole";
    refused(&[("src/harness/driver/pool.rs", text)], &[whole, up]);
}

#[test]
fn a_reexport_leads_to_the_file_that_defines_the_name() {
    let room = ("src/harness/judge.rs", "pub(crate) use crate::harness::stats::{S, T as U};");
    let driver = "src/harness/driver/pool.rs";
    refused(&[room, (driver, "use crate::harness::judge::S;")], &[]);
    refused(&[room, (driver, "fn f() { crate::harness::judge::U::new() }")], &[]);
    refused(&[room, (driver, "use crate::harness::judge::V;")], &["is in `harness::judge`"]);
    let relay = ("src/base/ids.rs", "pub(crate) use crate::service::world::W;");
    let both = ["`harness` may not name", "`base` may not name"];
    refused(&[relay, ("src/harness/stats.rs", "")], &both[1..]);
    refused(&[relay, ("src/harness/judge.rs", "use crate::base::ids::W;")], &[both[1], both[0]]);
}

#[test]
fn a_circle_between_files_is_caught() {
    let pool = ("src/harness/driver/pool.rs", "use super::turn::Turn;");
    let turn = ("src/harness/driver/turn.rs", "\nfn f(x: super::pool::Pool) {}");
    let circle = "harness::driver::turn -> harness::driver::pool (`super::pool::Pool`, src/harness/driver/turn.rs:2)";
    refused(&[pool, turn], &[circle]);
    let test = ("src/harness/driver/turn.rs", "#[cfg(test)] use super::pool::Pool;");
    refused(&[pool, test], &[]);
    let parent = ("src/harness/driver/mod.rs", "mod pool; use pool::Pool; pub struct Driver;");
    let child = ("src/harness/driver/pool.rs", "impl super::Driver {}");
    refused(&[parent, child], &["harness::driver -> harness::driver::pool"]);
    let declares = ("src/harness/driver/mod.rs", "mod pool; pub struct Driver;");
    refused(&[declares, child], &[]);
    let three = [
        ("src/cli/gate.rs", "use super::plan::a;"),
        ("src/cli/plan.rs", "use super::run::b;"),
        ("src/cli/run.rs", "use super::gate::c;"),
    ];
    let expected =
        "cli::gate -> cli::plan (`super::plan::a`, src/cli/gate.rs:1), cli::plan -> cli::run";
    refused(&three, &[expected]);
}

#[test]
fn a_circle_between_rooms_without_levels_is_caught() {
    let files = [
        ("src/cli/plan/mod.rs", ""),
        ("src/cli/run/mod.rs", ""),
        ("src/cli/plan/a.rs", "use crate::cli::run::b;"),
        ("src/cli/plan/c.rs", ""),
        ("src/cli/run/b.rs", ""),
        ("src/cli/run/d.rs", "use crate::cli::plan::c;"),
    ];
    refused(
        &files,
        &["a circle: cli::plan -> cli::run (`crate::cli::run::b`, src/cli/plan/a.rs:1)"],
    );
}

#[test]
fn the_crate_root_as_a_whole_is_caught() {
    let expected = "names the crate root as a whole";
    for text in ["use crate as all;", "use crate::{self};", "use super::super::X;"] {
        refused(&[("src/base/ids.rs", text)], &[expected]);
    }
    let all = "src/base/ids.rs:1: imports all names of a module";
    for text in ["use crate::*;", "use super::super::{self, *};"] {
        refused(&[("src/base/ids.rs", text)], &[all, expected]);
    }
}

#[test]
fn imports_of_all_names_are_caught() {
    let all = "src/harness/judge.rs:1: imports all names of a module";
    refused(&[("src/harness/judge.rs", "pub(crate) use super::stats::*;")], &[all]);
    let fine =
        "use proptest::prelude::*; enum E { A } use E::*; #[cfg(test)] mod t { use super::*; }";
    refused(&[("src/harness/judge.rs", fine)], &[]);
}

#[test]
fn the_command_line_is_named_in_its_wing_only() {
    let expected = "src/harness/judge.rs:1: only src/cli/ knows the command line";
    for text in ["use clap::Args;", "#[derive(clap::Args)] struct S;", "use clap;"] {
        refused(&[("src/harness/judge.rs", text)], &[expected]);
        refused(&[("src/cli/gate.rs", text)], &[]);
    }
}

#[test]
fn comments_and_literals_are_not_code() {
    let text = r##"
        //! See crate::service and `x.unwrap()`, TODO(#12).
        /* crate::server /* nested */ crate::broker */
        fn f<'a>(c: &'a char) -> bool {
            let _ = ("crate::http \" crate::http", r#"a " crate::http"#, b"\"crate::vault", '"');
            *c == '\'' || *c == 'c' || "x.unwrap() Instant::now() FIXME".is_empty()
        }
        pub(crate) fn g() {}
        impl X { pub(super) fn h(self) {} pub(in crate::base) fn i() {} }
    "##;
    refused(&[("src/base/ids.rs", text)], &[]);
    let world = ["`base` may not name"];
    refused(&[("src/base/ids.rs", "const Q: char = '\"'; use crate::service::world;")], &world);
    refused(&[("src/base/ids.rs", "fn f<'a>() {} /*/ x */ use crate::service::world;")], &world);
}

#[test]
fn long_files_functions_and_full_folders_are_caught() {
    let long = "\n".repeat(501);
    refused(&[("tests/long.rs", &long)], &["tests/long.rs: 501 lines, more than 500"]);
    let body = "\n".repeat(70);
    let function = format!(
        "impl X {{ fn f() {{{body}}} fn g() {{}} fn h() {{}} }}{}",
        "fn i() {}\n".repeat(8)
    );
    refused(&[("src/base/ids.rs", &function)], &["src/base/ids.rs:1: `f` has 71 lines"]);
    let function = format!("{}fn g() {{{}}}\n", "fn f() {}\n".repeat(8), "\n".repeat(25));
    refused(&[("src/base/ids.rs", &function)], &["1 of 9 functions have more than 25 lines"]);
    let paths: Vec<String> = (0..16).map(|file| format!("src/base/http/f{file}.rs")).collect();
    let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "")).collect();
    refused(&files, &["src/base/http: 16 files, more than 15"]);
    let wings: Vec<String> = (0..3).map(|wing| format!("src/wing{wing}.rs")).collect();
    let files: Vec<(&str, &str)> = wings.iter().map(|path| (path.as_str(), "")).collect();
    refused(&files, &["src: 7 entries besides lib.rs and main.rs"]);
}

#[test]
fn vague_names_and_unfiled_notes_are_caught() {
    refused(&[("tests/common/mod.rs", "")], &["the name `common` says nothing"]);
    refused(&[("src/base/ids.rs", "mod utils {}")], &["the name `utils` says nothing"]);
    let note = "// TODO later\n// FIXME(#x) also\n// TODO(#7): fine\n/// TODO\nfn f() {}";
    let expected = ["benches/a.rs:1: a note", "benches/a.rs:2: a note", "benches/a.rs:4: a note"];
    refused(&[("benches/a.rs", note)], &expected);
}

#[test]
fn panics_outside_tests_are_caught_unless_excused() {
    let ids = "src/base/ids.rs";
    let text = "fn f() { a.unwrap(); b.expect(c); d.unwrap_or(e) }";
    refused(&[(ids, text)], &["`unwrap`", "`expect`"]);
    refused(&[(ids, "fn f() { assert!(a.unwrap()); b.map(Option::unwrap) }")], &["`unwrap`"]);
    refused(&[(ids, "#[cfg(all(test, x))]\nmod t { fn f() { a.unwrap() } }")], &[]);
    refused(&[(ids, "#[cfg(not(test))]\nfn f() { a.unwrap() }")], &["`unwrap`"]);
    refused(&[(ids, "#[cfg(test)]\nmod tests { fn f() { a.unwrap() } }")], &[]);
    let excused = "fn f() {\n    #[expect(clippy::expect_used, reason = \"..\")]\n    let a = b.expect(c);\n    ";
    refused(&[(ids, &format!("{excused}}}"))], &[]);
    refused(&[(ids, &format!("{excused}d.unwrap();}}"))], &["src/base/ids.rs:4: `unwrap` outside"]);
    refused(&[("src/base/tls/tests.rs", "fn f() { a.unwrap() }")], &[]);
    refused(&[("benches/a.rs", "fn f() { a.unwrap() }")], &[]);
    refused(&[("examples/a.rs", "fn f() { a.unwrap() }")], &["`unwrap`"]);
}

#[test]
fn only_the_clock_reads_time() {
    let (judge, only) = ("src/harness/judge.rs", &["only src/base/clock.rs"]);
    refused(&[(judge, "use std::time::Instant; fn f() { Instant::now(); }")], only);
    refused(&[(judge, "fn f() { clock_gettime(ClockId::Realtime) }")], only);
    refused(&[(judge, "fn f() { clock_gettime(ClockId::ProcessCPUTime) }")], &[]);
    refused(&[("src/base/clock.rs", "fn f() { SystemTime::now(); }")], &[]);
}

#[test]
fn only_the_terminal_is_written_to() {
    let expected = "only src/cli/terminal.rs writes to a terminal";
    for text in ["eprintln!(\"{x}\")", "std::io::stdout().lock()", "let out = stderr()"] {
        refused(&[("src/cli/gate.rs", &format!("fn f() {{ {text}; }}"))], &[expected]);
        refused(&[("src/cli/terminal.rs", &format!("fn f() {{ {text}; }}"))], &[]);
    }
    let child = "fn f() { command.stdout(Stdio::null()); child.stderr.take(); }";
    refused(&[("src/cli/gate.rs", child)], &[]);
    let loses = "a lost result is an error";
    for text in ["let _ = print(&text)", "Stream::Output.show(&text)"] {
        refused(&[("src/cli/gate.rs", &format!("fn f() {{ {text}; }}"))], &[loses]);
    }
    refused(&[("src/cli/gate.rs", "fn f() { Stream::Error.show(&text); print(&text)?; }")], &[]);
}

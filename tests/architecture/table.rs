//! The table of the architecture: wings, rooms and their order. Read this file first.
//!
//! A module is written with its path: `harness::record` stands for `src/harness/record/`.

/// The modules that a module may name outside itself. The first row that fits a module counts.
pub(crate) const MAY_NAME: &[(&str, &str)] = &[
    ("main", "cli"),
    // Of the command line, only the commands that start or maintain a server know the service.
    ("cli::serve", "cli service base"),
    ("cli::store", "cli service base"),
    // Worlds in files are read and checked without a server.
    ("cli::world", "cli service base"),
    // The client commands know addresses and built-in roles. Their tests verify what they sign in with.
    ("cli::control::tests", "cli service::token base"),
    ("cli::control", "cli service::world base"),
    ("cli", "harness base"),
    // Targets of fuzzing call both wings. They are in tests and in fuzz builds only.
    ("fuzz", "harness service base"),
    // Statistics are pure functions, result files plain data.
    ("harness::stats", ""),
    ("harness::class", ""),
    ("harness::document", "harness::class"),
    // The harness reaches the service over the network only.
    ("harness", "base"),
    // The cache holds any values: it knows neither tokens nor the world.
    ("service::cache", "base"),
    ("service", "base"),
    ("base", ""),
];

/// The rooms of a wing, one line per level. A room names rooms of lower lines only, so rooms on one
/// line never name each other.
#[rustfmt::skip]
pub(crate) const ROOMS: &[(&str, &[&str])] = &[
    ("harness", &[
        "find_max gate plan",
        "doctor report",
        "session",
        "judge",
        "driver",
        "record",
        "schedule dialect",
        "scenario",
        "document",
        "machine stats",
        "class nanos",
    ]),
    ("service", &[
        "server",
        "imds sts arm vault admin",
        "faults",
        "broker source",
        "cache",
        "directory",
        "token store",
        "world",
    ]),
    ("base", &[
        "client",
        "http",
        "tls assertion",
        "x509 files synthetic wakes",
        "alarm clock ids network printable process secret sync toml_file",
    ]),
];

/// The most entries of `src/` besides `lib.rs` and `main.rs`.
pub(crate) const WINGS_MAX: usize = 6;

/// The most `.rs` files that a folder of `src/` holds itself.
pub(crate) const ROOM_FILES_MAX: usize = 15;

/// The most lines of a file.
pub(crate) const FILE_LINES_MAX: usize = 500;

/// The most lines of a function of `src/`, and of nine in ten of them.
pub(crate) const FUNCTION_LINES_MAX: usize = 70;
pub(crate) const FUNCTION_LINES_P90: usize = 25;

/// Names that do not say what a module owns.
pub(crate) const VAGUE: &[&str] =
    &["utils", "util", "helpers", "common", "misc", "types", "manager"];

/// Code that only one place of `src/` may hold: its tokens, the place, and the advice.
pub(crate) const RESERVED: &[(&str, &str, &str)] = &[
    ("clap ::", "src/cli/", FLAGS),
    ("clap ;", "src/cli/", FLAGS),
    ("Instant :: now", CLOCK, TIME),
    ("SystemTime :: now", CLOCK, TIME),
    ("clock_gettime (", CLOCK, TIME),
    ("stdout ( )", TERMINAL, WRITES),
    ("stderr ( )", TERMINAL, WRITES),
    ("print !", TERMINAL, WRITES),
    ("println !", TERMINAL, WRITES),
    ("eprint !", TERMINAL, WRITES),
    ("eprintln !", TERMINAL, WRITES),
    ("Stream :: Output . show (", TERMINAL, LOSES),
    ("let _ = print (", TERMINAL, LOSES),
    ("let _ = print_as_is (", TERMINAL, LOSES),
    ("let _ = print_coloured (", TERMINAL, LOSES),
];
const FLAGS: &str = "only src/cli/ knows the command line; take plain values";
const CLOCK: &str = "src/base/clock.rs";
const TIME: &str = "only src/base/clock.rs reads time; take a clock or `now`";
const TERMINAL: &str = "src/cli/terminal.rs";
const WRITES: &str = "only src/cli/terminal.rs writes to a terminal; use its functions";
const LOSES: &str = "a lost result is an error; return what `print` returns";

//! The arrow table: what each module of `src/` may name, from the top down.

/// One row: a module (or a file below one, which then has its own row) and what it may name.
///
/// A row may list only names that stand below it, so the table cannot hold a cycle.
#[rustfmt::skip]
pub(crate) const ARROWS: &[(&str, &str)] = &[
    ("main", "cli"),
    // The one place where the measuring binary starts the broker in its own process.
    ("cli/serve", "cli server world machine ids clock files secret printable class"),
    // Looks after the folder of a server that is stopped.
    ("cli/store", "cli server printable"),
    // Clients of a server: `token` has the assertion that they sign in with, `world` the roles.
    ("cli/control", "cli client tls token world x509 ids clock files secret printable class"),
    ("cli", "gate plan report load document stats tls assertion world machine ids clock files secret toml_file printable class"),
    ("gate", "report load document stats world ids clock files printable class"),
    ("plan", "report load document stats world ids clock toml_file files class"),
    ("report", "load document stats ids clock files printable class"),
    ("load", "document stats assertion tls world machine ids clock files secret class"),
    // Result files: plain data, which those who measure make and those who report read.
    ("document", "class"),
    ("stats", ""),
    ("server", "imds sts arm vault admin source http tls broker directory token store world x509 machine ids clock files secret class"),
    ("imds", "http broker cache directory token world ids clock class"),
    ("sts", "http directory token world x509 ids clock secret class"),
    ("arm", "http broker directory token world ids clock class"),
    ("vault", "http directory token store world ids clock secret class"),
    ("admin", "http broker directory token machine clock secret class"),
    ("broker", "cache directory token world ids clock class"),
    ("source", "client directory tls token world ids clock files class"),
    ("cache", "clock sync class"),
    ("directory", "token store world x509 ids clock files secret sync class"),
    ("token", "assertion x509 ids clock secret class"),
    // Its tests talk to `http`, whose tests speak TLS: `clock` is the time of certificates.
    ("client", "http tls clock class"),
    ("http", "tls clock class"),
    ("tls", "clock files secret"),
    // What a client signs in with, whoever it is: below both the side that measures and the measured one.
    ("assertion", "x509 clock secret"),
    ("store", "world ids clock files secret class"),
    ("world", "x509 ids clock files secret toml_file class"),
    ("x509", "clock"),
    ("ids", ""),
    ("clock", ""),
    ("machine", ""),
    ("files", "secret class"),
    ("printable", ""),
    ("secret", ""),
    ("toml_file", ""),
    ("class", ""),
    ("sync", ""),
];

/// The side that measures: it reaches the broker over the network only.
pub(crate) const MEASURING: &str = "cli gate plan report load document stats";

/// The side that is measured.
pub(crate) const MEASURED: &str =
    "server imds sts arm vault admin source http broker cache directory token store";

/// The HTTP surfaces: peers that may not name each other.
pub(crate) const SURFACES: &str = "imds sts arm vault admin";

/// Whether `names`, separated by blanks, hold `name`.
pub(crate) fn holds(names: &str, name: &str) -> bool {
    names.split(' ').any(|other| other == name)
}

/// What the file at `path` (relative to `src/`) may name: its own row, or its module's.
pub(crate) fn row(path: &str) -> Option<(&'static str, &'static str)> {
    let stem = path.trim_end_matches(".rs");
    let covers = |name: &str| {
        stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ARROWS.iter().copied().find(|(name, _)| covers(name))
}

/// The arrows of `table` whose target does not stand in a row below their source.
pub(crate) fn upward(table: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, (name, allowed)) in table.iter().enumerate() {
        let below = |target: &&str| table.iter().skip(index + 1).any(|(other, _)| other == target);
        let up = allowed.split_whitespace().filter(|target| !below(target));
        wrong.extend(up.map(|target| format!("{name} -> {target} does not point down")));
    }
    wrong
}

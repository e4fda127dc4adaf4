//! The arrow table: the names that each module of `src/` may use, from the top down.

/// The rows: a module, or a file in one with its own row, and the names that it may use.
///
/// A row may list only names of rows below it, so the table cannot hold a cycle.
#[rustfmt::skip]
pub(crate) const ARROWS: &[(&str, &str)] = &[
    ("main", "cli"),
    // The only place where the measuring binary starts the broker in its own process.
    ("cli/serve", "cli server world machine ids clock files secret printable class"),
    // Maintains the folder of a server that is stopped.
    ("cli/store", "cli server printable"),
    // Clients of a server: `token` holds the assertion that they sign in with, `world` the roles.
    ("cli/control", "cli client tls token world x509 ids clock files secret printable class"),
    ("cli", "gate plan report load document stats tls assertion world machine ids clock files secret toml_file printable class"),
    ("gate", "report load document stats world ids clock files printable class"),
    ("plan", "report load document stats world ids clock toml_file files class"),
    ("report", "load document stats ids clock files printable class"),
    ("load", "document stats assertion tls world machine ids clock files secret class"),
    // Result files: plain data, written by the measuring modules and read by the reporting ones.
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
    // Its tests talk to `http`, whose tests speak TLS. Certificates need the time of `clock`.
    ("client", "http tls clock class"),
    ("http", "tls clock class"),
    ("tls", "clock files secret"),
    // The sign-in of every client. It stands below both the measuring and the measured side.
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

/// The measuring side, which reaches the broker over the network only.
pub(crate) const MEASURING: &str = "cli gate plan report load document stats";

/// The measured side.
pub(crate) const MEASURED: &str =
    "server imds sts arm vault admin source http broker cache directory token store";

/// The HTTP surfaces, which may not name each other.
pub(crate) const SURFACES: &str = "imds sts arm vault admin";

/// Returns true if `names`, separated by blanks, contains `name`.
pub(crate) fn holds(names: &str, name: &str) -> bool {
    names.split(' ').any(|other| other == name)
}

/// Returns the row of the file at `path` (relative to `src/`): its own, or that of its module.
pub(crate) fn row(path: &str) -> Option<(&'static str, &'static str)> {
    let stem = path.trim_end_matches(".rs");
    let covers = |name: &str| {
        stem.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    ARROWS.iter().copied().find(|(name, _)| covers(name))
}

/// Returns the arrows of `table` whose target is not in a row below their source.
pub(crate) fn upward(table: &[(&str, &str)]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (index, (name, allowed)) in table.iter().enumerate() {
        let below = |target: &&str| table.iter().skip(index + 1).any(|(other, _)| other == target);
        let up = allowed.split_whitespace().filter(|target| !below(target));
        wrong.extend(up.map(|target| format!("{name} -> {target} does not point down")));
    }
    wrong
}

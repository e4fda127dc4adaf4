//! Environment variables that are read without a flag.

use std::ffi::{OsStr, OsString};

/// Variables that hold a secret. No command line should hold one, because others can read it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecretVariables {
    /// Variable with the secret of an OAuth 2.0 client.
    pub(crate) client_secret: &'static str,
    /// Variable with the value of `X-IDENTITY-HEADER`.
    pub(crate) identity_header: &'static str,
}

/// Secret variables of `mintbench run`.
pub(crate) const RUN_VARIABLES: SecretVariables = SecretVariables {
    client_secret: "MINTBENCH_RUN_CLIENT_SECRET",
    identity_header: "MINTBENCH_RUN_IDENTITY_HEADER",
};

/// Secret variables of `mintbench compare`.
pub(crate) const COMPARE_VARIABLES: SecretVariables = SecretVariables {
    client_secret: "MINTBENCH_COMPARE_CLIENT_SECRET",
    identity_header: "MINTBENCH_COMPARE_IDENTITY_HEADER",
};

/// Variables that are read without a flag: secrets, the log level, and variables of tests and builds.
pub(super) const WITHOUT_FLAG: [&str; 7] = [
    "MINTBENCH_BLESS",
    "MINTBENCH_LOG",
    "MINTBENCH_SHUTTLE",
    RUN_VARIABLES.client_secret,
    RUN_VARIABLES.identity_header,
    COMPARE_VARIABLES.client_secret,
    COMPARE_VARIABLES.identity_header,
];

/// Returns the value of an environment variable. An empty variable counts as not set.
pub(crate) fn variable(name: impl AsRef<OsStr>) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

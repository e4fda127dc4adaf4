//! Flags of a target, which a target file may also hold.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use super::error::TargetError;
use crate::cli::secret_files::SecretFiles;
use crate::harness::dialect::protocol::{ClientAuth, Expect, Method, Protocol};

/// Protocol, credentials and trust of a target.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[command(next_help_heading = "Target")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TargetArgs {
    /// Protocol of --target; may also be written before its URL, as in `oauth2+https://HOST/PATH` [default: imds]
    #[arg(long, value_enum, ignore_case = true, env = "MINTBENCH_RUN_PROTOCOL")]
    pub(crate) protocol: Option<Protocol>,
    /// PEM file of the trusted certificate authorities, instead of the machine's; may be repeated
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_CA")]
    pub(crate) ca: Vec<PathBuf>,
    /// Do not check the target's certificate: another server may answer
    #[arg(long, env = "MINTBENCH_RUN_INSECURE")]
    pub(crate) insecure: bool,
    /// oauth2: id of the client
    #[arg(long, value_name = "ID", env = "MINTBENCH_RUN_CLIENT_ID")]
    pub(crate) client_id: Option<String>,
    /// oauth2: file with the client's secret; the secret itself may be in the variable below without its _FILE
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "client_certificate",
        env = "MINTBENCH_RUN_CLIENT_SECRET_FILE"
    )]
    pub(crate) client_secret_file: Option<PathBuf>,
    /// oauth2: place of the client id and the secret in a request [default: post]
    #[arg(long, value_enum, ignore_case = true, env = "MINTBENCH_RUN_CLIENT_AUTH")]
    pub(crate) client_auth: Option<ClientAuth>,
    /// oauth2: PEM file with the client's certificate; assertions are signed before the run
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_CLIENT_CERTIFICATE")]
    pub(crate) client_certificate: Option<PathBuf>,
    /// oauth2: PEM file with the private key (RSA, PKCS #8) [default: in --client-certificate]
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_certificate",
        env = "MINTBENCH_RUN_CLIENT_KEY"
    )]
    pub(crate) client_key: Option<PathBuf>,
    /// oauth2: scope of the token, like `https://vault.azure.net/.default`
    #[arg(long, value_name = "SCOPE", env = "MINTBENCH_RUN_SCOPE")]
    pub(crate) scope: Option<String>,
    /// oauth2: required audience of the tokens; verified with --jwks
    #[arg(long, value_name = "AUD", env = "MINTBENCH_RUN_AUDIENCE")]
    pub(crate) audience: Option<String>,
    /// aws: role of the requested credentials; not needed if the URL has a path
    #[arg(long, value_name = "NAME", env = "MINTBENCH_RUN_ROLE")]
    pub(crate) role: Option<String>,
    /// app-service: file with the value of `IDENTITY_HEADER`; the value itself may be in the variable below without its _FILE
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_IDENTITY_HEADER_FILE")]
    pub(crate) identity_header_file: Option<PathBuf>,
    /// get: method of the requests [default: GET, or POST with a body]
    #[arg(long, short = 'X', value_name = "METHOD", env = "MINTBENCH_RUN_METHOD")]
    pub(crate) method: Option<Method>,
    /// get: body of the requests (-d of curl); a form, unless a header says another Content-Type
    #[arg(long, value_name = "TEXT", env = "MINTBENCH_RUN_BODY")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(crate) body: Option<String>,
    /// get: file with the body of the requests, which is sent as it is
    #[arg(long, value_name = "FILE", conflicts_with = "body", env = "MINTBENCH_RUN_BODY_FILE")]
    pub(crate) body_file: Option<PathBuf>,
    /// get: header of the requests, or @FILE with one header on each line; may be repeated
    #[arg(long, short = 'H', value_name = "NAME: VALUE", env = "MINTBENCH_RUN_HEADER")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(crate) header: Vec<String>,
    /// get: condition of a good answer, status=CODE or body=TEXT; may be repeated [default: any 2xx]
    #[arg(long, value_name = "WHAT", env = "MINTBENCH_RUN_EXPECT")]
    pub(crate) expect: Vec<Expect>,
    #[command(flatten)]
    #[serde(skip)]
    pub(crate) secret_files: SecretFiles,
}

impl TargetArgs {
    /// Refuses all flags about a target, because there is none.
    pub(crate) fn check_absent(&self) -> Result<(), TargetError> {
        let given = self.given().map(|(flag, given, _)| (flag, given));
        let others = [
            ("protocol", self.protocol.is_some()),
            ("ca", !self.ca.is_empty()),
            ("insecure", self.insecure),
            ("client-key", self.client_key.is_some()),
        ];
        match others.into_iter().chain(given).find(|(_, given)| *given) {
            Some((flag, _)) => Err(TargetError::NoTarget(flag)),
            None => Ok(()),
        }
    }

    /// Returns the flags that only one protocol uses, and whether each is given.
    pub(super) fn given(&self) -> [(&'static str, bool, Protocol); 13] {
        [
            ("client-id", self.client_id.is_some(), Protocol::OAuth2),
            ("client-secret-file", self.client_secret_file.is_some(), Protocol::OAuth2),
            ("client-auth", self.client_auth.is_some(), Protocol::OAuth2),
            ("client-certificate", self.client_certificate.is_some(), Protocol::OAuth2),
            ("scope", self.scope.is_some(), Protocol::OAuth2),
            ("audience", self.audience.is_some(), Protocol::OAuth2),
            ("role", self.role.is_some(), Protocol::Aws),
            ("identity-header-file", self.identity_header_file.is_some(), Protocol::AppService),
            ("method", self.method.is_some(), Protocol::Get),
            ("body", self.body.is_some(), Protocol::Get),
            ("body-file", self.body_file.is_some(), Protocol::Get),
            ("header", !self.header.is_empty(), Protocol::Get),
            ("expect", !self.expect.is_empty(), Protocol::Get),
        ]
    }

    /// Returns the same flags, with paths relative to `folder`.
    pub(super) fn in_folder(mut self, folder: &Path) -> Self {
        let files = [
            &mut self.client_secret_file,
            &mut self.client_certificate,
            &mut self.client_key,
            &mut self.identity_header_file,
            &mut self.body_file,
        ];
        for path in files.into_iter().flatten().chain(&mut self.ca) {
            *path = folder.join(&*path);
        }
        self
    }
}

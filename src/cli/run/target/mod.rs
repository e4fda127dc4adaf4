//! Targets other than a broker of our own, from flags, variables and files.

pub(in crate::cli) mod hint;
mod url;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use serde::Deserialize;

pub(in crate::cli) use self::url::{TargetUrl, TargetUrlError};
use crate::base::assertion::{CertificateKey, ClientKeyError};
use crate::base::files;
use crate::base::files::{CREDENTIAL_BYTES_MAX, ReadError, SecretFileError};
use crate::base::http::Scheme;
use crate::base::secret::Redacted;
use crate::base::tls::TlsError;
use crate::cli::secret_files::SecretFiles;
use crate::harness::dialect::protocol::{
    ClientAuth, Dialect, Expect, Header, HeaderError, OAuth2, Proof, Protocol,
};
use crate::harness::dialect::target::Target;
use crate::harness::dialect::trust::Trusted;
use crate::harness::dialect::url::HttpUrl;

/// How a target is asked, and whose certificates count.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[command(next_help_heading = "Target")]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::cli) struct TargetArgs {
    /// How --target is asked for a token; may also be written before its URL, as in `oauth2+https://HOST/PATH` [default: imds]
    #[arg(long, value_enum, ignore_case = true, env = "MINTBENCH_RUN_PROTOCOL")]
    pub(in crate::cli) protocol: Option<Protocol>,
    /// Trust the certificate authorities in this PEM file instead of the machine's; may be repeated
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_CA")]
    pub(in crate::cli) ca: Vec<PathBuf>,
    /// Do not check the target's certificate: anybody may have answered
    #[arg(long, env = "MINTBENCH_RUN_INSECURE")]
    pub(in crate::cli) insecure: bool,
    /// oauth2: who asks
    #[arg(long, value_name = "ID", env = "MINTBENCH_RUN_CLIENT_ID")]
    pub(in crate::cli) client_id: Option<String>,
    /// oauth2: file with the secret of --client-id; the secret itself may be in the variable below without its _FILE
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with = "client_certificate",
        env = "MINTBENCH_RUN_CLIENT_SECRET_FILE"
    )]
    pub(in crate::cli) client_secret_file: Option<PathBuf>,
    /// oauth2: how --client-id and its secret are sent [default: post]
    #[arg(long, value_enum, ignore_case = true, env = "MINTBENCH_RUN_CLIENT_AUTH")]
    pub(in crate::cli) client_auth: Option<ClientAuth>,
    /// oauth2: PEM file with the certificate of --client-id; assertions are signed before the run
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_CLIENT_CERTIFICATE")]
    pub(in crate::cli) client_certificate: Option<PathBuf>,
    /// oauth2: PEM file with the private key (RSA, PKCS #8) [default: in --client-certificate]
    #[arg(
        long,
        value_name = "FILE",
        requires = "client_certificate",
        env = "MINTBENCH_RUN_CLIENT_KEY"
    )]
    pub(in crate::cli) client_key: Option<PathBuf>,
    /// oauth2: what the token is for, like `https://vault.azure.net/.default`
    #[arg(long, value_name = "SCOPE", env = "MINTBENCH_RUN_SCOPE")]
    pub(in crate::cli) scope: Option<String>,
    /// oauth2: the audience that tokens must have; judged with --jwks
    #[arg(long, value_name = "AUD", env = "MINTBENCH_RUN_AUDIENCE")]
    pub(in crate::cli) audience: Option<String>,
    /// aws: whose credentials are asked for; not needed if the URL has a path
    #[arg(long, value_name = "NAME", env = "MINTBENCH_RUN_ROLE")]
    pub(in crate::cli) role: Option<String>,
    /// app-service: file with what `IDENTITY_HEADER` holds there; the value itself may be in the variable below without its _FILE
    #[arg(long, value_name = "FILE", env = "MINTBENCH_RUN_IDENTITY_HEADER_FILE")]
    pub(in crate::cli) identity_header_file: Option<PathBuf>,
    /// get: a header to send, or @FILE with one on each line; may be repeated
    #[arg(long, value_name = "NAME: VALUE", env = "MINTBENCH_RUN_HEADER")]
    #[arg(hide_env_values = true, hide_default_value = true)]
    pub(in crate::cli) header: Vec<String>,
    /// get: what makes an answer good, status=CODE or body=TEXT; may be repeated [default: any 2xx]
    #[arg(long, value_name = "WHAT", env = "MINTBENCH_RUN_EXPECT")]
    pub(in crate::cli) expect: Vec<Expect>,
    #[command(flatten)]
    #[serde(skip)]
    pub(in crate::cli) secret_files: SecretFiles,
}

/// Reason why the flags make no target.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum TargetError {
    #[error(
        "--{flag} is of no use with the protocol `{protocols}`; leave it out, or choose another"
    )]
    Unused { flag: &'static str, protocols: String },
    #[error("--{0} is of no use beside a target file; write it into the file")]
    UnusedBesideFile(&'static str),
    #[error("--{0} is about a target and there is none; name one with --target URL")]
    NoTarget(&'static str),
    #[error("--audience is judged with the keys of --jwks; name them, or leave it out")]
    Audience,
    #[error(
        "--client-auth says how a secret is sent, and --client-certificate sends none; leave one out"
    )]
    ClientAuth,
    #[error("--insecure checks no certificate and --ca says which count; leave one out")]
    Insecure,
    #[error("the protocol `{protocol}` needs {what}")]
    Missing { protocol: Protocol, what: &'static str },
    #[error("--protocol {given} and {written} before the URL are two; leave one out")]
    Protocols { given: Protocol, written: Protocol },
    #[error(transparent)]
    File(#[from] ReadError),
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    #[error("no PEM block of `{path}` holds {what}", path = path.display())]
    Pem { path: PathBuf, what: &'static str },
    #[error("--role `{0}` cannot stand in a path; write its letters, digits and +=,.@_- only")]
    Role(String),
    #[error("{0} holds no secret that can be sent: it is empty, or not one line of text")]
    Secret(String),
    #[error("a header of --header cannot be sent")]
    Header(#[from] HeaderError),
    #[error("--client-certificate and --client-key cannot be used")]
    ClientKey(#[from] ClientKeyError),
    #[error("cannot trust the authorities of `{path}`", path = path.display())]
    Authorities { path: PathBuf, source: TlsError },
    #[error(
        "cannot check the certificate of an https URL; name its authority's certificate with --ca"
    )]
    System(#[source] TlsError),
    #[error("cannot set up TLS")]
    Unchecked(#[source] TlsError),
}

/// Variables that hold a secret. No command line should hold one, because others can read it.
#[derive(Clone, Copy, Debug)]
pub(in crate::cli) struct SecretVariables {
    pub(in crate::cli) client_secret: &'static str,
    pub(in crate::cli) identity_header: &'static str,
}

/// Variables of `mintbench run`.
pub(in crate::cli) const RUN_VARIABLES: SecretVariables = SecretVariables {
    client_secret: "MINTBENCH_RUN_CLIENT_SECRET",
    identity_header: "MINTBENCH_RUN_IDENTITY_HEADER",
};

impl TargetArgs {
    /// Refuses flags that none of `targets` uses, because they would have no effect.
    pub(in crate::cli) fn check(
        &self,
        targets: &[&TargetUrl],
        jwks: Option<&HttpUrl>,
    ) -> Result<(), TargetError> {
        let mut protocols = Vec::new();
        for target in targets {
            match &target.own {
                Some(own) => own.check_protocols(&[own.protocol_of(target)?], jwks)?,
                None => protocols.push(self.protocol_of(target)?),
            }
        }
        if !protocols.is_empty() {
            return self.check_protocols(&protocols, jwks);
        }
        match self.given().into_iter().find(|(_, given, _)| *given) {
            Some((flag, ..)) => Err(TargetError::UnusedBesideFile(flag)),
            None => Ok(()),
        }
    }

    /// Refuses all flags about a target, because there is none.
    pub(in crate::cli) fn check_absent(&self) -> Result<(), TargetError> {
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

    /// Returns the target at `target`. `jwks` is the URL of the keys that verify its answers.
    pub(in crate::cli) fn resolve(
        &self,
        target: &TargetUrl,
        jwks: Option<&HttpUrl>,
        variables: &SecretVariables,
    ) -> Result<Target, TargetError> {
        let Some(own) = &target.own else { return self.aimed(target, jwks, variables) };
        let mut own = Self { secret_files: self.secret_files, ..(**own).clone() };
        if own.ca.is_empty() && !own.insecure {
            (own.ca, own.insecure) = (self.ca.clone(), self.insecure);
        }
        own.aimed(target, jwks, variables)
    }

    fn aimed(
        &self,
        target: &TargetUrl,
        jwks: Option<&HttpUrl>,
        variables: &SecretVariables,
    ) -> Result<Target, TargetError> {
        if self.insecure && !self.ca.is_empty() {
            return Err(TargetError::Insecure);
        }
        let protocol = self.protocol_of(target)?;
        let url = target.url.clone();
        let https = |url: &HttpUrl| url.scheme == Scheme::Https;
        let trusted = if https(&url) || jwks.is_some_and(https) || !self.ca.is_empty() {
            Some(self.trusted()?)
        } else {
            None
        };
        let dialect = Arc::new(self.dialect(protocol, &url, variables)?);
        Ok(Target { url, dialect, trusted })
    }

    fn protocol_of(&self, target: &TargetUrl) -> Result<Protocol, TargetError> {
        match (self.protocol, target.protocol) {
            (Some(given), Some(written)) if given != written => {
                Err(TargetError::Protocols { given, written })
            }
            (given, written) => Ok(written.or(given).unwrap_or(target.default)),
        }
    }

    fn check_protocols(
        &self,
        protocols: &[Protocol],
        jwks: Option<&HttpUrl>,
    ) -> Result<(), TargetError> {
        let unused = |(flag, given, used_by): (&'static str, bool, Protocol)| {
            (given && !protocols.contains(&used_by)).then_some(flag)
        };
        let verified = jwks.is_none() || protocols.iter().any(|protocol| protocol.has_jwt());
        let unused = self.given().into_iter().find_map(unused);
        if let Some(flag) = unused.or((!verified).then_some("jwks")) {
            let names: Vec<&str> = protocols.iter().map(|protocol| protocol.as_str()).collect();
            return Err(TargetError::Unused { flag, protocols: names.join(" and ") });
        }
        if self.audience.is_some() && jwks.is_none() {
            return Err(TargetError::Audience);
        }
        Ok(())
    }

    /// Returns the flags that only one protocol uses, and whether each is given.
    fn given(&self) -> [(&'static str, bool, Protocol); 10] {
        [
            ("client-id", self.client_id.is_some(), Protocol::OAuth2),
            ("client-secret-file", self.client_secret_file.is_some(), Protocol::OAuth2),
            ("client-auth", self.client_auth.is_some(), Protocol::OAuth2),
            ("client-certificate", self.client_certificate.is_some(), Protocol::OAuth2),
            ("scope", self.scope.is_some(), Protocol::OAuth2),
            ("audience", self.audience.is_some(), Protocol::OAuth2),
            ("role", self.role.is_some(), Protocol::Aws),
            ("identity-header-file", self.identity_header_file.is_some(), Protocol::AppService),
            ("header", !self.header.is_empty(), Protocol::Get),
            ("expect", !self.expect.is_empty(), Protocol::Get),
        ]
    }

    /// Resolves the paths of a file in `folder`, which names files beside it.
    fn beside(mut self, folder: &Path) -> Self {
        let files = [
            &mut self.client_secret_file,
            &mut self.client_certificate,
            &mut self.client_key,
            &mut self.identity_header_file,
        ];
        for path in files.into_iter().flatten().chain(&mut self.ca) {
            *path = folder.join(&*path);
        }
        self
    }

    fn trusted(&self) -> Result<Trusted, TargetError> {
        if self.insecure {
            return Trusted::anybody().map_err(TargetError::Unchecked);
        }
        let Some(first) = self.ca.first() else {
            return Trusted::system().map_err(TargetError::System);
        };
        let mut pem = Vec::new();
        for path in &self.ca {
            pem.extend(read(path)?);
            pem.push(b'\n');
        }
        let path = first.clone();
        Trusted::authorities(&pem).map_err(|source| TargetError::Authorities { path, source })
    }

    fn dialect(
        &self,
        protocol: Protocol,
        url: &HttpUrl,
        variables: &SecretVariables,
    ) -> Result<Dialect, TargetError> {
        let missing = |what| TargetError::Missing { protocol, what };
        Ok(match protocol {
            Protocol::Imds => Dialect::Imds,
            Protocol::Gce => Dialect::Gce,
            Protocol::Get => Dialect::Get { headers: self.headers()?, expect: self.expect.clone() },
            Protocol::Aws if self.role.is_none() && url.path.is_empty() => {
                return Err(missing("--role NAME, or the whole path in the URL"));
            }
            Protocol::Aws => Dialect::Aws { role: self.role()? },
            Protocol::AppService => {
                let file = self.identity_header_file.as_deref();
                let secret = self.secret(file, variables.identity_header)?;
                let secret = secret.ok_or_else(|| {
                    missing("--identity-header-file FILE, or MINTBENCH_<COMMAND>_IDENTITY_HEADER")
                })?;
                Dialect::AppService { secret }
            }
            Protocol::OAuth2 => Dialect::OAuth2(self.client(url, variables)?),
        })
    }

    fn client(&self, url: &HttpUrl, variables: &SecretVariables) -> Result<OAuth2, TargetError> {
        let missing = |what| TargetError::Missing { protocol: Protocol::OAuth2, what };
        if url.path.is_empty() {
            return Err(missing("the path of the token endpoint in the URL"));
        }
        let client_id = self.client_id.clone().ok_or_else(|| missing("--client-id ID"))?;
        let proof = match &self.client_certificate {
            Some(_) if self.client_auth.is_some() => return Err(TargetError::ClientAuth),
            Some(certificate) => {
                let key = self.client_key.as_ref().unwrap_or(certificate);
                Proof::Certificate(Arc::new(self.certificate_key(certificate, key)?))
            }
            None => {
                let file = self.client_secret_file.as_deref();
                let secret = self.secret(file, variables.client_secret)?;
                let secret = secret.ok_or_else(|| missing(
                    "--client-secret-file FILE, MINTBENCH_<COMMAND>_CLIENT_SECRET, or --client-certificate FILE",
                ))?;
                Proof::Secret { secret, auth: self.client_auth.unwrap_or_default() }
            }
        };
        let (scope, audience) = (self.scope.clone(), self.audience.clone());
        Ok(OAuth2 { client_id, proof, scope, audience })
    }

    /// Returns the role, if IAM allows its name. Such a name is sent as it stands, and does not
    /// leave its segment of the path.
    fn role(&self) -> Result<Option<String>, TargetError> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte);
        let dots = |role: &str| matches!(role, "." | "..");
        match &self.role {
            Some(role) if role.is_empty() || !role.bytes().all(fits) || dots(role) => {
                Err(TargetError::Role(role.clone()))
            }
            role => Ok(role.clone()),
        }
    }

    fn headers(&self) -> Result<Vec<Header>, TargetError> {
        let mut headers = Vec::new();
        for text in &self.header {
            match text.strip_prefix('@') {
                None => headers.push(text.parse()?),
                Some(path) => {
                    let text = self.read_secret(Path::new(path))?;
                    let text = String::from_utf8_lossy(text.expose());
                    for line in text.lines().filter(|line| !line.trim().is_empty()) {
                        headers.push(line.parse()?);
                    }
                }
            }
        }
        Ok(headers)
    }

    /// Returns the secret in the file, or in the variable if no file is given.
    fn secret(&self, file: Option<&Path>, variable: &str) -> Result<Option<Redacted>, TargetError> {
        let Some(path) = file else {
            let value = std::env::var_os(variable).filter(|value| !value.is_empty());
            let value = value.map(|value| Redacted::new(value.into_encoded_bytes()));
            return value.map(|value| one_line(&value, variable)).transpose();
        };
        one_line(&self.read_secret(path)?, &path.display().to_string()).map(Some)
    }

    fn certificate_key(
        &self,
        certificate: &Path,
        key: &Path,
    ) -> Result<CertificateKey, TargetError> {
        let pem = self.read_secret(key)?;
        let pkcs8 = PrivatePkcs8KeyDer::from_pem_slice(pem.expose()).map_err(|_| {
            let what = "a private key in PKCS #8 (BEGIN PRIVATE KEY)";
            TargetError::Pem { path: key.to_owned(), what }
        })?;
        let pkcs8 = Redacted::new(pkcs8.secret_pkcs8_der().to_vec());
        let der = CertificateDer::from_pem_slice(&read(certificate)?).map_err(|_| {
            TargetError::Pem { path: certificate.to_owned(), what: "a certificate" }
        })?;
        Ok(CertificateKey::new(&der, &pkcs8)?)
    }

    fn read_secret(&self, path: &Path) -> Result<Redacted, TargetError> {
        let secret =
            files::read_given_secret(path, CREDENTIAL_BYTES_MAX, self.secret_files.group())?;
        Ok(match secret.expose().strip_prefix(BYTE_ORDER_MARK) {
            Some(unmarked) => Redacted::new(unmarked.to_vec()),
            None => secret,
        })
    }
}

/// Refuses `--user-assigned` for a protocol that cannot name identities.
pub(super) fn check_selectors(
    protocol: Protocol,
    user_assigned: Option<u32>,
) -> Result<(), TargetError> {
    match user_assigned {
        Some(_) if !protocol.selects() => {
            Err(TargetError::Unused { flag: "user-assigned", protocols: protocol.to_string() })
        }
        _ => Ok(()),
    }
}

/// Returns the text without the blanks around it, if it is one line. In a header field, a line end
/// would begin another field.
fn one_line(text: &Redacted, from: &str) -> Result<Redacted, TargetError> {
    let secret = text.expose().trim_ascii();
    if secret.is_empty() || secret.iter().any(u8::is_ascii_control) {
        return Err(TargetError::Secret(format!("`{from}`")));
    }
    Ok(Redacted::new(secret.to_vec()))
}

/// Byte order mark in UTF-8, with which some editors begin a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads the bytes of a file, without the byte order mark.
fn read(path: &Path) -> Result<Vec<u8>, TargetError> {
    let mut bytes = files::read(path, CREDENTIAL_BYTES_MAX)?;
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;

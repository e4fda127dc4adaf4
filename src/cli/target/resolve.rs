//! Targets from flags, variables and files.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::args::TargetArgs;
use super::error::TargetError;
use super::url::TargetUrl;
use crate::base::assertion::CertificateKey;
use crate::base::files;
use crate::base::files::{CREDENTIAL_BYTES_MAX, REQUEST_BODY_BYTES_MAX};
use crate::base::http::Scheme;
use crate::base::secret::Redacted;
use crate::cli::sources::variables::SecretVariables;
use crate::harness::dialect::protocol::{Dialect, Header, Method, OAuth2, Plain, Proof, Protocol};
use crate::harness::dialect::target::Target;
use crate::harness::dialect::trust::Trusted;
use crate::harness::dialect::url::HttpUrl;

impl TargetArgs {
    /// Refuses flags that none of `targets` uses, because they would have no effect.
    pub(crate) fn check(
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

    /// Returns the target at `target`. `jwks` is the URL of the keys that verify its answers.
    pub(crate) fn resolve(
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
            Protocol::Get => Dialect::Get(self.plain()?),
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

    fn plain(&self) -> Result<Plain, TargetError> {
        let body = self.content()?;
        let usual = || if body.is_some() { Method::post() } else { Method::default() };
        Ok(Plain {
            method: self.method.clone().unwrap_or_else(usual),
            headers: self.headers()?,
            body,
            expect: self.expect.clone(),
        })
    }

    /// Returns the body of plain requests.
    fn content(&self) -> Result<Option<Redacted>, TargetError> {
        let bytes = match (&self.body, &self.body_file) {
            (Some(_), Some(_)) => return Err(TargetError::Bodies),
            (Some(text), None) if text.starts_with('@') => return Err(TargetError::BodyFile),
            (Some(text), None) if text.len() as u64 > REQUEST_BODY_BYTES_MAX => {
                return Err(TargetError::BodyLength);
            }
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(path)) => files::read(path, REQUEST_BODY_BYTES_MAX)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(Redacted::new(bytes)))
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
pub(crate) fn check_selectors(
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
pub(super) fn one_line(text: &Redacted, from: &str) -> Result<Redacted, TargetError> {
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

//! Tokens and assertions that nobody has signed.

use std::sync::{Arc, LazyLock};

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::connections::{NOW, demo, directory};
use crate::base::clock::Seconds;
use crate::base::ids::ClientId;
use crate::base::x509::Certificate;
use crate::service::directory::Directory;
use crate::service::token::{
    ForeignKeys, ForeignToken, PresentedAssertion, SelfSigned, Verifier, certify_client,
    generate_client_key, verify_assertion,
};

/// A certificate whose private key is forgotten.
static CERTIFICATE: LazyLock<Option<Certificate>> = LazyLock::new(|| {
    let private_key = generate_client_key().ok()?;
    let (client, end) = (ClientId::from_bytes([7; 16]), NOW + Seconds(600));
    let der = certify_client(&SelfSigned, &private_key, client, NOW, end).ok()?;
    Certificate::from_der(&der).ok()
});

static DIRECTORY: LazyLock<Option<Arc<Directory>>> =
    LazyLock::new(|| directory(demo()).ok().map(Arc::new));

/// JWTs. An input with several lines is header, claims and signature as text, and a key set.
///
/// Nothing verifies with the keys of the broker or of a client. Keys that an input brings may fit its token.
pub(super) fn assertion(input: &[u8]) {
    let Ok(text) = str::from_utf8(input) else { return };
    let mut lines = text.splitn(4, '\n');
    let parts = [lines.next(), lines.next(), lines.next(), lines.next()];
    let jwt = match parts {
        [Some(header), Some(claims), signature, _] => {
            let [header, claims, signature] = [header, claims, signature.unwrap_or_default()]
                .map(|part| BASE64_URL_SAFE_NO_PAD.encode(part));
            format!("{header}.{claims}.{signature}")
        }
        _ => text.to_owned(),
    };
    proves_no_client(&jwt);
    let [.., keys] = parts;
    let keys = ForeignKeys::parse(keys.unwrap_or(text).as_bytes()).unwrap_or_default();
    if let Ok(token) = ForeignToken::parse(&jwt) {
        let claims = token.unverified();
        let _ = (claims.is_in_time(NOW, Seconds(300)), claims.issued_at(), token.verify(&keys));
    }
    let Some(directory) = &*DIRECTORY else { panic!("no demo world") };
    assert!(Verifier::new(directory.ring()).verify(&jwt, NOW).is_err(), "a forged token: {jwt}");
}

fn proves_no_client(jwt: &str) {
    let Some(certificate) = &*CERTIFICATE else { panic!("no certificate") };
    assert!(verify_assertion(jwt, std::slice::from_ref(certificate)).is_err(), "{jwt}");
    let Ok(presented) = PresentedAssertion::parse(jwt) else { return };
    let claims = presented.unverified();
    let (from, to) = (claims.not_before(), claims.expires());
    let is_in_time = claims.is_in_time(NOW, Seconds(0));
    let is_between = from.is_none_or(|from| from <= NOW) && NOW < to;
    assert_eq!(is_in_time, is_between, "{jwt}");
    let _ = (claims.is_in_time(NOW, Seconds(300)), claims.issued_at(), claims.audiences().len());
    assert!(presented.verify(certificate).is_err(), "a forged assertion: {jwt}");
    for der in presented.chain() {
        let _ = Certificate::from_der(der);
    }
    if let Some(thumbprint) = presented.thumbprint() {
        assert_eq!(presented.names(certificate), thumbprint == certificate.sha256().as_slice());
    }
}

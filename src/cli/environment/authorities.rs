//! Files with the certificate authorities that a program trusts: those that it would trust anyway, and that of
//! the server.

use std::io;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;

use crate::base::files::{self, CLIENT_BUNDLE, PLAIN};
use crate::cli::terminal::say;

/// Variables whose file replaces the public authorities: of requests (Python, az), of OpenSSL, Go and Rust, and of
/// curl.
const REPLACING: [&str; 3] = ["REQUESTS_CA_BUNDLE", OPENSSL, "CURL_CA_BUNDLE"];
/// Variable of OpenSSL, Go and Rust. Users also set it for all programs at once.
const OPENSSL: &str = "SSL_CERT_FILE";
/// Variable of Node.js, whose file adds to the public authorities.
const ADDING: &str = "NODE_EXTRA_CA_CERTS";

/// Files of the public authorities: Debian, Fedora, openSUSE, Red Hat, and Alpine or macOS.
const PUBLIC: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Largest file of authorities that is read, in bytes. The public ones have a quarter of a megabyte.
const BYTES_MAX: u64 = 16 << 20;

/// Values of a program's variables, by name.
type Given<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Returns the variables of certificate authorities for a program that has the variables `given`. Writes their files
/// beside `ca`, the certificate of the server's authority. If that is not possible, warns and returns `ca` alone.
pub(super) fn authorities(ca: &Path, given: Given<'_>) -> Vec<(&'static str, String)> {
    let names = REPLACING.into_iter().chain([ADDING]);
    let files = extended(ca, given, &PUBLIC).unwrap_or_else(|error| {
        let folder = ca.parent().unwrap_or(ca).display();
        say(format_args!(
            "warning: cannot write a file of certificate authorities in `{folder}`, so programs trust that of the server alone: {error}"
        ));
        names.clone().map(|_| ca.to_owned()).collect()
    });
    names.zip(files).map(|(name, file)| (name, file.display().to_string())).collect()
}

/// Returns the file of each variable.
fn extended(ca: &Path, given: Given<'_>, public: &[&str]) -> io::Result<Vec<PathBuf>> {
    let own = files::read_text(ca, BYTES_MAX).map_err(io::Error::other)?;
    let file = |bases: Vec<Option<String>>| {
        let mut bases = bases.into_iter().flatten();
        let joined = bases.find_map(|base| join(Path::new(&base), ca, &own).transpose());
        joined.unwrap_or_else(|| Ok(ca.to_owned()))
    };
    let replacing = REPLACING.map(|name| {
        let public = public.iter().map(|path| Some((*path).to_owned()));
        file([given(name), given(OPENSSL)].into_iter().chain(public).collect())
    });
    replacing.into_iter().chain([file(vec![given(ADDING)])]).collect()
}

/// Returns a file with the authorities of `base` and the server's own, the text of `ca`. Returns `None` if `base` has
/// no other authority than the server's.
fn join(base: &Path, ca: &Path, own: &str) -> io::Result<Option<PathBuf>> {
    let base = std::path::absolute(base)?;
    let own = own.trim();
    let Ok(text) = files::read(&base, BYTES_MAX) else { return Ok(None) };
    let text = String::from_utf8_lossy(&text);
    if !text.replacen(own, "", 1).contains("-----BEGIN ") {
        return Ok(None);
    }
    if text.contains(own) {
        return Ok(Some(base));
    }
    let place = ca.with_file_name(name(&base));
    let text = format!("{}\n{own}\n", text.trim_end());
    if files::read(&place, BYTES_MAX).ok().as_deref() != Some(text.as_bytes()) {
        files::replace(&place, PLAIN, text.as_bytes())?;
    }
    Ok(Some(place))
}

/// Returns the name of the file for `base`: always the same, so that no file is left over when `base` changes.
fn name(base: &Path) -> String {
    let digest = digest::digest(&digest::SHA256, base.as_os_str().as_encoded_bytes());
    let start = digest.as_ref().first_chunk().copied().unwrap_or_default();
    format!("{CLIENT_BUNDLE}{:08x}.pem", u32::from_be_bytes(start))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    const OWN: &str = "-----BEGIN CERTIFICATE-----\nown\n-----END CERTIFICATE-----\n";
    const PUBLIC_PEM: &str = "-----BEGIN CERTIFICATE-----\npublic\n-----END CERTIFICATE-----";

    /// Returns a folder with the authority of a server, and a file of public authorities.
    fn folder() -> (TempDir, PathBuf, String) {
        let folder = tempfile::tempdir().unwrap();
        let [ca, public] = ["ca.pem", "public.pem"].map(|name| folder.path().join(name));
        fs::write(&ca, OWN).unwrap();
        fs::write(&public, PUBLIC_PEM).unwrap();
        let public = public.to_str().unwrap().to_owned();
        (folder, ca, public)
    }

    fn texts(files: &[PathBuf]) -> Vec<String> {
        files.iter().map(|file| fs::read_to_string(file).unwrap()).collect()
    }

    #[test]
    fn programs_trust_the_public_authorities_and_the_server() {
        let (_folder, ca, public) = folder();
        let files = extended(&ca, &|_| None, &["/nowhere", &public]).unwrap();
        let both = format!("{PUBLIC_PEM}\n{OWN}");
        assert_eq!(texts(&files), [both.as_str(), &both, &both, OWN]);
        // A change of the public authorities leaves no file behind.
        fs::write(&public, format!("{PUBLIC_PEM}\n{PUBLIC_PEM}\n")).unwrap();
        let again = extended(&ca, &|_| None, &[&public]).unwrap();
        assert_eq!(files, again);
        let text = format!("{PUBLIC_PEM}\n{PUBLIC_PEM}\n{OWN}");
        assert_eq!(texts(&again), [text.as_str(), &text, &text, OWN]);
        assert_eq!(fs::read_dir(ca.parent().unwrap()).unwrap().count(), 3);
    }

    #[test]
    fn each_variable_keeps_the_authorities_that_it_had() {
        let (folder, ca, public) = folder();
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, PUBLIC_PEM.replace("public", name)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let [all, curl, node] = ["all", "curl", "node"].map(file);
        let given = |name: &str| match name {
            "SSL_CERT_FILE" => Some(all.clone()),
            "CURL_CA_BUNDLE" => Some(curl.clone()),
            "NODE_EXTRA_CA_CERTS" => Some(node.clone()),
            _ => None,
        };
        let files = extended(&ca, &given, &[&public]).unwrap();
        let texts = texts(&files);
        for (text, name) in texts.iter().zip(["all", "all", "curl", "node"]) {
            assert!(text.contains(name) && text.ends_with(OWN) && !text.contains("public"));
        }
        // What has the server's authority already is used as it is.
        let of_before = |_: &str| Some(files[0].to_str().unwrap().to_owned());
        assert_eq!(extended(&ca, &of_before, &[]).unwrap(), [(); 4].map(|()| files[0].clone()));
    }

    #[test]
    fn without_other_authorities_the_server_is_trusted_alone() {
        let (folder, ca, _) = folder();
        let other = folder.path().join("other");
        fs::write(&other, "no certificate").unwrap();
        for given in [ca.clone(), other, folder.path().to_owned(), folder.path().join("none")] {
            let given = |_: &str| Some(given.to_str().unwrap().to_owned());
            assert_eq!(extended(&ca, &given, &[]).unwrap(), [(); 4].map(|()| ca.clone()));
        }
    }

    #[test]
    fn a_folder_that_takes_no_file_leaves_the_server_trusted_alone() {
        let (_folder, ca, public) = folder();
        // A folder of the name cannot be replaced by a file, not even by root.
        fs::create_dir(ca.with_file_name(name(Path::new(&public)))).unwrap();
        let given = |_: &str| Some(public.clone());
        extended(&ca, &given, &[]).unwrap_err();
        let files = authorities(&ca, &given);
        let ca = ca.to_str().unwrap().to_owned();
        assert!(files.iter().all(|(_, file)| *file == ca), "{files:?}");
    }
}

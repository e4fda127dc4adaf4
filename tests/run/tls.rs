//! Trusted certificates, untrusted certificates, and servers that speak the other protocol.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::oauth2::pem;
use crate::scripted::{Scripted, whole};
use crate::{mintbench, run};

/// A TLS server that answers every request with 200, and its certificate in a file.
struct Secure {
    authority: String,
    folder: tempfile::TempDir,
}

impl Secure {
    /// Starts a server whose certificate for 127.0.0.1 is that of an authority, as `openssl req
    /// -x509` makes it.
    fn with_authority(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        let folder = tempfile::tempdir().unwrap();
        // Some editors write a byte order mark.
        let text = format!("\u{feff}{}", pem("CERTIFICATE", &certificate));
        std::fs::write(folder.path().join("server.pem"), text).unwrap();
        let authority = serve(certificate, &key);
        Self { authority, folder }
    }

    fn pem(&self) -> PathBuf {
        self.folder.path().join("server.pem")
    }
}

fn settings(certificate: CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    Arc::new(config)
}

fn serve(certificate: CertificateDer<'static>, key: &KeyPair) -> String {
    let config = settings(certificate, key);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let config = Arc::clone(&config);
            std::thread::spawn(move || answer_all(stream, config));
        }
    });
    authority
}

fn answer_all(stream: TcpStream, config: Arc<ServerConfig>) {
    stream.set_nodelay(true).unwrap();
    let mut stream = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    let mut request = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut piece) {
        request.extend_from_slice(&piece[..count]);
        if request.ends_with(b"\r\n\r\n") {
            request.clear();
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            if stream.write_all(answer).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }
}

const SHORT: [&str; 5] =
    ["--warmup=0s", "--rate=50", "--duration=500ms", "--arrivals=constant", "--connections=2"];

fn refused(args: &[&str]) -> String {
    let output = mintbench(&[args, &SHORT, &["--out=target/never"]].concat());
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
    stderr
}

#[test]
fn an_authority_certificate_that_a_server_shows_as_its_own_counts_where_ca_names_it() {
    let server = Secure::with_authority(|_| {});
    let (url, own) = (format!("https://{}/", server.authority), server.pem());
    let run = run(&[&[&url, "--ca", own.to_str().unwrap()], &SHORT[..]].concat());
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 25, "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["insecure"], false);
    // If `--ca` names another certificate, the server is refused, and the error names the remedy.
    let other = Secure::with_authority(|_| {});
    let error = refused(&[&url, "--ca", other.pem().to_str().unwrap()]);
    assert!(error.contains("authority's certificate (CA:TRUE): name it with --ca"), "{error}");
    assert!(error.contains("CA:FALSE") && error.contains("--insecure"), "{error}");
}

#[test]
fn a_named_certificate_still_has_to_be_for_the_host_and_of_this_time() {
    let named = |params: &mut CertificateParams| {
        *params = CertificateParams::new(vec!["other.example".to_owned()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    };
    let old = |params: &mut CertificateParams| {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    };
    let young =
        |params: &mut CertificateParams| params.not_before = rcgen::date_time_ymd(4000, 1, 1);
    for (server, remedy) in [
        (Secure::with_authority(named), "write the name in the URL"),
        (Secure::with_authority(old), "it has expired: renew it"),
        (Secure::with_authority(young), "it is not valid yet: set the clocks"),
    ] {
        let (url, own) = (format!("https://{}/", server.authority), server.pem());
        let error = refused(&[&url, "--ca", own.to_str().unwrap()]);
        assert!(error.contains(remedy) && error.contains("--insecure"), "{error}");
    }
}

#[test]
fn without_a_check_of_certificates_anybody_is_measured_and_the_result_says_so() {
    let server = Secure::with_authority(|_| {});
    let url = format!("https://{}/", server.authority);
    let run = run(&[&[&url, "--insecure", "-q"], &SHORT[..]].concat());
    run.has_result();
    assert_eq!(run.json["statuses"]["200"], 25, "{}", run.json["statuses"]);
    assert_eq!(run.json["load"]["insecure"], true);
    let printed = String::from_utf8_lossy(&run.output.stdout).into_owned();
    for text in [&printed, &run.stderr(), &run.json["notes"].to_string()] {
        assert!(text.contains("--insecure: nobody checks the certificate"), "{text}");
    }
    let own = server.pem();
    let error = refused(&[&url, "--insecure", "--ca", own.to_str().unwrap()]);
    assert!(error.contains("--insecure checks no certificate"), "{error}");
}

#[test]
fn the_other_scheme_is_named_where_a_server_speaks_it() {
    let plain = Scripted::serve(|_| whole("200 OK", "ok"));
    let raw = TcpListener::bind("127.0.0.1:0").unwrap();
    let not_tls = raw.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in raw.incoming().map_while(Result::ok) {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let error = refused(&[&format!("https://{not_tls}/"), "--insecure"]);
    assert!(error.contains("does not speak TLS there: write http://"), "{error}");
    let secure = Secure::with_authority(|_| {});
    let keys = format!("http://{}/keys", secure.authority);
    let target = format!("http://{}", plain.authority);
    let error = refused(&["--target", &target, "--jwks", &keys]);
    assert!(error.contains("speaks TLS there: write https://"), "{error}");
    let wrong = format!("http://{}/", secure.authority);
    let run = run(&[&[wrong.as_str()], &SHORT[..]].concat());
    assert_eq!(run.output.status.code(), Some(1), "{}", run.stderr());
    assert!(run.json["notes"].to_string().contains("speaks TLS: write https://"), "{}", run.json);
}

/// Starts a server that answers one request on each of its first two connections, and sends these bytes in
/// place of every further handshake.
fn serve_then(bytes: &'static [u8], certificate: CertificateDer<'static>, key: &KeyPair) -> String {
    let config = settings(certificate, key);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let authority = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().map_while(Result::ok).enumerate() {
            if number >= 2 {
                drop(stream.read(&mut [0; 16 * 1024]));
                drop(stream.write_all(bytes));
                continue;
            }
            let mut stream =
                StreamOwned::new(ServerConnection::new(Arc::clone(&config)).unwrap(), stream);
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                if let Ok(1..) = stream.read(&mut piece) {
                    let answer =
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                    drop(stream.write_all(answer).and_then(|()| stream.flush()));
                }
            });
        }
    });
    authority
}

#[test]
fn a_handshake_that_fails_under_load_names_its_alert() {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.self_signed(&key).unwrap().der().clone();
    for (bytes, cause) in [
        (&[21, 3, 3, 0, 2, 2, 40][..], "TLS alert: handshake_failure"),
        (&[21, 3, 3, 0, 2, 2, 80], "TLS alert: internal_error"),
        (b"", "TLS handshake: closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "TLS handshake: the answer is not TLS"),
    ] {
        let authority = serve_then(bytes, certificate.clone(), &key);
        let target = format!("get+https://{authority}");
        let run =
            run(&[&["--target", &target, "--insecure", "--max-errors=1"], &SHORT[..]].concat());
        assert_eq!(run.json["causes"], serde_json::json!({ cause: 23 }), "{}", run.stderr());
    }
}

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use rcgen::KeyPair;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::settings::provider;
use super::*;
use crate::base::clock::{Clock, ManualClock, Seconds, UnixSeconds};
use crate::base::files::GroupRead;
use crate::base::secret::Redacted;

const YEAR: Seconds = Seconds(365 * 86_400);

/// Returns the machine's time, which the library's own verifier uses.
fn now() -> UnixSeconds {
    UnixSeconds(UnixTime::now().as_secs())
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// Performs a handshake in memory.
fn greet(
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    name: &str,
) -> Result<(), rustls::Error> {
    let mut server = ServerConnection::new(server)?;
    let mut client = ClientConnection::new(client, ServerName::try_from(name.to_owned()).unwrap())?;
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut arrived = wire.as_slice();
        while !arrived.is_empty() {
            server.read_tls(&mut arrived).unwrap();
            server.process_new_packets()?;
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut arrived = wire.as_slice();
        while !arrived.is_empty() {
            client.read_tls(&mut arrived).unwrap();
            client.process_new_packets()?;
        }
    }
    assert_eq!(client.alpn_protocol(), Some(&b"http/1.1"[..]));
    Ok(())
}

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    client_config(authority.certificate_pem().as_bytes()).unwrap()
}

#[test]
fn a_server_is_accepted_by_each_of_its_names_and_no_other() {
    let authority = Authority::create(now()).unwrap();
    let names = names(&["localhost", "*.vault.localhost", "127.0.0.1", "::1"]);
    let server = authority.server_config(&names, now()).unwrap();
    let client = trusting(&authority);
    for name in ["localhost", "demo.vault.localhost", "127.0.0.1", "::1"] {
        greet(Arc::clone(&server), Arc::clone(&client), name).unwrap();
    }
    for name in ["localhost.example", "a.b.vault.localhost", "127.0.0.2", "vault.localhost"] {
        greet(Arc::clone(&server), Arc::clone(&client), name).unwrap_err();
    }
}

#[test]
fn a_listener_is_accepted_at_its_names_and_at_the_addresses_that_it_has_now() {
    let authority = Arc::new(Authority::create(now()).unwrap());
    let client = trusting(&authority);
    let held = Arc::new(std::sync::Mutex::new(vec!["127.1.1.1".parse().unwrap()]));
    let addresses = Arc::clone(&held);
    let clock = Arc::new(ManualClock::new(now()));
    let own = names(&["localhost", "127.0.0.1"]);
    let server = ServerTls::new(Arc::clone(&authority), clock, own)
        .with_addresses(move || addresses.lock().unwrap().clone());
    let greets = |called: &str, name: &str| {
        let config = server.config(called.parse().unwrap()).unwrap();
        greet(config, Arc::clone(&client), name).is_ok()
    };
    assert!(greets("127.0.0.1", "localhost") && greets("127.0.0.1", "127.1.1.1"));
    assert!(!greets("127.0.0.1", "127.1.1.2"));
    assert!(greets("127.1.1.2", "127.1.1.2"), "an address that was called is one of the listener");
    *held.lock().unwrap() = vec!["127.1.1.3".parse().unwrap()];
    assert!(greets("127.0.0.1", "127.1.1.3") && !greets("127.0.0.1", "127.1.1.1"));
    let twice = [(); 2].map(|()| server.config("127.0.0.1".parse().unwrap()).unwrap());
    assert!(Arc::ptr_eq(&twice[0], &twice[1]), "nothing has changed");
}

#[test]
fn a_server_certificate_is_renewed_while_the_server_runs() {
    let begin = now() - YEAR - YEAR;
    let (authority, clock) =
        (Arc::new(Authority::create(begin).unwrap()), Arc::new(ManualClock::new(begin)));
    let own: Arc<dyn Clock> = Arc::<ManualClock>::clone(&clock);
    let server = ServerTls::new(Arc::clone(&authority), own, names(&["localhost"]));
    let config = || server.config("127.0.0.1".parse().unwrap()).unwrap();
    let first = config();
    clock.advance(Seconds(YEAR.0 / 2));
    assert!(Arc::ptr_eq(&first, &config()), "half its life is left");
    clock.advance(Seconds(1));
    let second = config();
    assert!(!Arc::ptr_eq(&first, &second), "less than half its life is left");
    clock.advance(now().since(clock.now()));
    let client = trusting(&authority);
    assert!(greet(second, Arc::clone(&client), "localhost").is_err());
    greet(config(), client, "localhost").unwrap();
    clock.advance(Seconds(10 * YEAR.0));
    let expired = server.config("127.0.0.1".parse().unwrap());
    assert!(matches!(expired, Err(TlsError::Expired { .. })));
}

#[test]
fn a_certificate_is_made_once_for_each_address_and_the_number_of_them_is_bounded() {
    let authority = Arc::new(Authority::create(now()).unwrap());
    let clock = Arc::new(ManualClock::new(now()));
    let server = ServerTls::new(authority, clock, names(&["localhost"])).with_addresses(Vec::new);
    let config = |last: u8| server.config([127, 1, 1, last].into()).unwrap();
    let [one, two] = [1, 2].map(config);
    assert!(Arc::ptr_eq(&one, &config(1)) && Arc::ptr_eq(&two, &config(2)));
    (3..100).for_each(|last| drop(config(last)));
    assert!(!Arc::ptr_eq(&one, &config(1)));
    assert_eq!(Arc::strong_count(&one), 1, "it is no longer held");
}

#[test]
fn a_derived_key_follows_from_the_private_key_and_the_label() {
    let authority = Authority::create(now()).unwrap();
    let same = Authority::from_pem(authority.certificate_pem().as_bytes(), &authority.key_pem());
    let key = |authority: &Authority, label| authority.derived_key(label).expose().to_vec();
    assert_eq!(key(&authority, "a"), key(&same.unwrap(), "a"));
    assert_eq!(key(&authority, "a").len(), 32);
    assert_ne!(key(&authority, "a"), key(&authority, "b"));
    assert_ne!(key(&authority, "a"), key(&Authority::create(now()).unwrap(), "a"));
}

#[test]
fn only_the_given_authorities_are_trusted() {
    let [mine, other] = [(); 2].map(|()| Authority::create(now()).unwrap());
    let server = mine.server_config(&names(&["localhost"]), now()).unwrap();
    greet(Arc::clone(&server), trusting(&other), "localhost").unwrap_err();
    let both = mine.certificate_pem() + &other.certificate_pem();
    greet(server, client_config(both.as_bytes()).unwrap(), "localhost").unwrap();
}

#[test]
fn a_server_certificate_lives_for_a_year_and_not_longer_than_its_authority() {
    let authority = Authority::create(now()).unwrap();
    let old = authority.server_config(&names(&["localhost"]), now() - YEAR - YEAR).unwrap();
    let error = greet(old, trusting(&authority), "localhost").unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
}

#[test]
fn an_authority_survives_its_pem() {
    let authority = Authority::create_named("second CA", now()).unwrap();
    let pem = authority.certificate_pem();
    assert!(pem.lines().all(|line| line.len() <= 64));
    let again = Authority::from_pem(pem.as_bytes(), &authority.key_pem()).unwrap();
    assert_eq!(again.certificate_pem(), pem);
    assert_eq!(again.not_after(), authority.not_after());
    let server = again.server_config(&names(&["localhost"]), now()).unwrap();
    greet(server, trusting(&authority), "localhost").unwrap();
}

#[test]
fn a_pair_that_is_none_is_refused() {
    let [one, other] = [(); 2].map(|()| Authority::create(now()).unwrap());
    let pem = one.certificate_pem();
    let refused = |pem: &str, key: &Redacted| Authority::from_pem(pem.as_bytes(), key).unwrap_err();
    assert!(matches!(refused(&pem, &other.key_pem()), TlsError::Config(_)));
    assert!(matches!(refused("", &one.key_pem()), TlsError::Pem(_)));
    assert!(matches!(refused(&pem, &Redacted::new(Vec::new())), TlsError::Pem(_)));
    assert!(matches!(client_config(b"").unwrap_err(), TlsError::Pem(_)));
}

#[test]
fn names_that_are_none_are_refused() {
    let authority = Authority::create(now()).unwrap();
    assert!(matches!(authority.server_config(&[], now()), Err(TlsError::NoNames)));
    for name in ["", "a b", "http://localhost", "a.*.b", "*", "localhost:1"] {
        let refused = authority.server_config(&names(&["localhost", name]), now());
        assert!(matches!(refused, Err(TlsError::Name(_))), "{name}");
    }
    for name in ["", &"a".repeat(65)] {
        assert!(matches!(Authority::create_named(name, now()), Err(TlsError::CommonName(_))));
    }
}

#[test]
fn a_clients_certificate_is_good_for_a_client_of_its_issuer() {
    let authority = Authority::create_named("principals CA", now()).unwrap();
    let key = KeyPair::generate().unwrap();
    let issue = |end| authority.issue_client("app.contoso.example", &key, now(), end).unwrap();
    let certificate = issue(now() + YEAR);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der().clone()).unwrap();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = verifier.build().unwrap();
    verifier.verify_client_cert(&certificate, &[], UnixTime::now()).unwrap();
    assert_eq!(x509::common_name(&certificate), Some("app.contoso.example"));
    assert_eq!(x509::not_after(&certificate), Some(now() + YEAR));
    assert_ne!(issue(now() + YEAR + YEAR), certificate);
}

#[test]
fn a_folder_keeps_its_authority() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/folder");
    let first = Authority::open(&dir, now(), GroupRead::Refused).unwrap();
    let again = Authority::open(&dir, now() + YEAR, GroupRead::Refused).unwrap();
    assert_eq!(first.certificate_pem(), again.certificate_pem());
    assert_eq!(first.key_pem().expose(), again.key_pem().expose());
    let mode = fs::metadata(dir.join("ca.key")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files: Vec<_> =
        fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files.len(), 2, "{files:?}");
}

#[test]
fn a_key_that_others_can_read_is_refused_unless_they_are_a_trusted_group() {
    let dir = tempfile::tempdir().unwrap();
    Authority::open(dir.path(), now(), GroupRead::Refused).unwrap();
    fs::set_permissions(dir.path().join("ca.key"), fs::Permissions::from_mode(0o640)).unwrap();
    let refused = Authority::open(dir.path(), now(), GroupRead::Refused);
    assert!(matches!(refused, Err(TlsError::Exposed(_))));
    Authority::open(dir.path(), now(), GroupRead::Allowed).unwrap();
}

#[test]
fn a_start_that_was_cut_off_after_the_key_is_finished_by_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let first = Authority::open(dir.path(), now(), GroupRead::Refused).unwrap();
    fs::remove_file(dir.path().join("ca.pem")).unwrap();
    let next = Authority::open(dir.path(), now() + Seconds(1), GroupRead::Refused).unwrap();
    assert_eq!(first.key_pem().expose(), next.key_pem().expose());
    let server = next.server_config(&names(&["localhost"]), now()).unwrap();
    greet(server, trusting(&first), "localhost").unwrap();
}

#[test]
fn processes_that_start_together_agree_on_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let pems: Vec<String> = std::thread::scope(|scope| {
        let open =
            || Authority::open(dir.path(), now(), GroupRead::Refused).unwrap().certificate_pem();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(pems.iter().all(|pem| *pem == pems[0]));
}

#[test]
fn a_folder_that_makes_no_authority_says_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open(dir.path(), now(), GroupRead::Refused).unwrap();
    let reason = |now| match Authority::open(dir.path(), now, GroupRead::Refused).unwrap_err() {
        TlsError::Folder { source, .. } => *source,
        other => panic!("{other}"),
    };
    let later = authority.not_after() + Seconds(1);
    assert!(matches!(reason(later), TlsError::Expired { .. }));
    let [key, pem] = ["ca.key", "ca.pem"].map(|name| dir.path().join(name));
    fs::write(&key, Authority::create(now()).unwrap().key_pem().expose()).unwrap();
    assert!(matches!(reason(now()), TlsError::Config(_)));
    fs::write(&pem, "").unwrap();
    assert!(matches!(reason(now()), TlsError::Pem(_)));
    fs::remove_file(&key).unwrap();
    assert!(matches!(reason(now()), TlsError::NoKey));
}

#[test]
fn debug_output_holds_no_key() {
    let authority = Authority::create(now()).unwrap();
    assert!(!format!("{authority:?}").contains("key"), "{authority:?}");
}

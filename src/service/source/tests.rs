use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use super::*;
use crate::base::clock::Seconds;
use crate::service::directory;
use crate::service::directory::tests::NOW;
use crate::service::token::{ClientProof, PresentedAssertion};

const RESOURCE: &str = "https://vault.azure.net";

/// A token service that gives these answers, one per call, and reports the requests that it got.
struct Service {
    addr: SocketAddr,
    asked: std::sync::mpsc::Receiver<String>,
}

impl Service {
    fn answering(answers: Vec<(u16, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (tell, asked) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut connection, _) = listener.accept().unwrap();
                tell.send(request(&mut connection)).unwrap();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
                );
                connection.write_all((head + &body).as_bytes()).unwrap();
            }
        });
        Self { addr, asked }
    }
}

fn request(connection: &mut impl std::io::Read) -> String {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = connection.read(&mut buffer).unwrap();
        read.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.to_lowercase();
        let length = length.split("content-length: ").nth(1).unwrap();
        let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
        if body.len() >= length {
            return text;
        }
    }
}

fn token() -> String {
    let (from, until) = (NOW.0 - 300, NOW.0 + 86_400);
    format!(
        r#"{{"token_type":"Bearer","expires_in":"86400","ext_expires_in":"86399","expires_on":"{until}","not_before":"{from}","resource":"{RESOURCE}","access_token":"a.b.c"}}"#
    )
}

fn asked_of(service: &Service) -> (Arc<Directory>, Result<Token, MintError>) {
    let directory = Arc::new(directory::tests::demo());
    let url = format!("http://{}/", service.addr);
    let source = Remote::start(Arc::clone(&directory), &url, tls()).unwrap();
    let vm = Arc::clone(&directory.read().vms_below(&group(), None).next().unwrap().vm);
    let own = vm.system_assigned().unwrap();
    let subject = Subject {
        tenant_id: own.tenant.id,
        tenant_created: own.tenant.created,
        client_id: own.ids.client_id,
        principal_id: own.ids.principal_id,
        resource_id: Some(&own.resource_id),
        caller_id: None,
        proof: ClientProof::Certificate,
    };
    let minted = source.mint(&subject, RESOURCE, NOW, &[7; 48]);
    (directory, minted)
}

fn tls() -> Arc<ClientConfig> {
    let authority = crate::base::tls::Authority::create(NOW).unwrap();
    crate::base::tls::client_config(authority.certificate_pem().as_bytes()).unwrap()
}

fn group() -> crate::base::ids::ArmId {
    "/subscriptions/5ab5c1de-0000-4000-8000-000000000001/resourceGroups/demo".parse().unwrap()
}

#[test]
fn a_token_is_asked_for_with_an_assertion_of_the_identitys_certificate() {
    let service = Service::answering(vec![(200, token())]);
    let (directory, minted) = asked_of(&service);
    let minted = minted.unwrap();
    assert_eq!((minted.jwt(), minted.expires_on()), ("a.b.c", NOW + Seconds(86_400)));
    let asked = service.asked.recv().unwrap();
    let (head, form) = asked.split_once("\r\n\r\n").unwrap();
    let tenant = "72f988bf-0000-4000-8000-000000000001";
    assert!(head.starts_with(&format!("POST /{tenant}/oauth2/token HTTP/1.1\r\n")), "{head}");
    let form: std::collections::HashMap<String, String> =
        form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    assert_eq!(form["grant_type"], "client_credentials");
    assert_eq!(form["resource"], RESOURCE);
    let client_id = "c11e0000-0000-4000-8000-000000000001";
    assert_eq!(form["client_id"], client_id);
    let principal = directory.read().client(client_id.parse().unwrap()).unwrap().ids().principal_id;
    let certificate = directory.certificate_of(principal, NOW).unwrap();
    let assertion = PresentedAssertion::parse(&form["client_assertion"]).unwrap();
    let claims = assertion.verify(certificate.certificate()).unwrap();
    let url = format!("http://{}/{tenant}/oauth2/token", service.addr);
    assert_eq!(claims.audiences(), [url]);
    assert!(claims.is_in_time(NOW, Seconds(0)));
}

#[test]
fn a_service_that_fails_is_asked_again_with_another_assertion() {
    let service =
        Service::answering(vec![(503, String::new()), (200, "{}".to_owned()), (200, token())]);
    assert_eq!(asked_of(&service).1.unwrap().jwt(), "a.b.c");
    let assertion = |asked: String| asked.split("client_assertion=").nth(1).unwrap().to_owned();
    let [first, second, third] = [(); 3].map(|()| assertion(service.asked.recv().unwrap()));
    assert!(first != second && second != third);
}

#[test]
fn a_service_that_goes_on_failing_is_given_up() {
    let service = Service::answering(vec![(500, String::new()); 3]);
    let refused = asked_of(&service).1.unwrap_err();
    assert_eq!(refused, MintError::Unavailable("it answers 500".to_owned()));
}

#[test]
fn what_the_service_refuses_is_passed_on_and_not_asked_again() {
    let body =
        r#"{"error":"invalid_resource","error_description":"AADSTS500011: no such resource"}"#;
    let service = Service::answering(vec![(400, body.to_owned())]);
    let refused = asked_of(&service).1.unwrap_err();
    let expected = MintError::Refused {
        error: "invalid_resource".to_owned(),
        description: "AADSTS500011: no such resource".to_owned(),
    };
    assert_eq!(refused, expected);
}

#[test]
fn a_service_that_nobody_runs_is_unavailable() {
    let unused = TcpListener::bind("127.0.0.1:0").unwrap();
    let (_, asked) = std::sync::mpsc::channel();
    let service = Service { addr: unused.local_addr().unwrap(), asked };
    drop(unused);
    assert!(matches!(asked_of(&service).1, Err(MintError::Unavailable(_))));
}

#[test]
fn only_a_token_is_taken_for_one() {
    let client_id = crate::base::ids::ClientId::from_bytes([1; 16]);
    let parse = |body: &str| Token::from_answer(body.as_bytes(), client_id, RESOURCE, NOW);
    assert!(parse(r#"{"access_token":"a.b.c","expires_in":3599}"#).is_some());
    for body in [
        "",
        "[]",
        r#"{"access_token":"a.b.c"}"#,
        r#"{"access_token":"","expires_in":3599}"#,
        r#"{"access_token":"a\"b","expires_in":3599}"#,
        r#"{"access_token":"a.b.c","expires_in":0}"#,
        r#"{"access_token":"a.b.c","expires_in":"x"}"#,
        r#"{"access_token":"a.b.c","expires_in":60,"expires_on":"1"}"#,
    ] {
        assert!(parse(body).is_none(), "{body}");
    }
}

#[test]
fn the_wait_before_another_attempt_grows_and_is_spread() {
    assert_eq!(backoff(1, &[0; 3]), Duration::from_millis(50));
    assert!(backoff(1, &[255; 3]) < Duration::from_millis(100));
    assert_eq!(backoff(2, &[0; 3]), Duration::from_millis(100));
}

#[test]
fn what_is_no_url_of_a_service_is_refused() {
    for url in ["", "sts", "ftp://sts", "/sts"] {
        let directory = Arc::new(directory::tests::demo());
        assert!(matches!(Remote::start(directory, url, tls()), Err(SourceError::Url(_))), "{url}");
    }
}

#[test]
fn a_url_may_be_in_capitals_and_end_in_a_slash() {
    for (url, expected) in [
        ("HTTPS://Sts.Example:8170/", Some("https://sts.example:8170")),
        ("http://127.0.0.1/Path/", Some("http://127.0.0.1/Path")),
        ("ftp://a", None),
        ("sts.example", None),
    ] {
        assert_eq!(normal(url).as_deref(), expected, "{url}");
    }
}

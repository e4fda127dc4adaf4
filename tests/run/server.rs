//! Token endpoints with known behaviour.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mintbench::base::clock::Monotonic;
use serde_json::json;

/// The behaviour of a server.
#[derive(Clone)]
pub(crate) enum Manner {
    /// Answers after this delay.
    Delay(Duration),
    /// Closes the connection instead of answering.
    HangUp,
    /// Answers at once, but stalls all answers for this time from this request on.
    Stall(u64, Duration),
    /// Answers every second request with status 429.
    Throttle,
    /// Returns one token for every request, and the keys at `/keys`.
    Token { body: String, keys: String },
}

/// Starts a keep-alive server on loopback with one thread per connection.
pub(crate) fn serve(manner: Manner) -> (SocketAddr, Arc<Server>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let state = Arc::new(Server {
        manner,
        requests: AtomicU64::new(0),
        stalled_until_ns: AtomicU64::new(0),
        clock: Monotonic::start(),
        taken_ns: Mutex::default(),
    });
    let served = Arc::clone(&state);
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let state = Arc::clone(&state);
            std::thread::spawn(move || state.converse(stream));
        }
    });
    (address, served)
}

pub(crate) struct Server {
    manner: Manner,
    pub(crate) requests: AtomicU64,
    stalled_until_ns: AtomicU64,
    clock: Monotonic,
    /// The time that each answer took, in nanoseconds.
    pub(crate) taken_ns: Mutex<Vec<u64>>,
}

impl Server {
    fn converse(&self, mut stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let (mut input, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match stream.read(&mut piece) {
                Ok(count @ 1..) => input.extend_from_slice(&piece[..count]),
                _ => return,
            }
            if input.ends_with(b"\r\n\r\n") {
                let body = self.body(&input);
                input.clear();
                let begun_ns = self.clock.now_ns();
                let Some(status) = self.status() else { return };
                self.taken_ns.lock().unwrap().push(self.clock.now_ns() - begun_ns);
                let length = body.len();
                let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).is_err() {
                    return;
                }
            }
        }
    }

    fn body(&self, request: &[u8]) -> String {
        match &self.manner {
            Manner::Token { keys, .. } if request.starts_with(b"GET /keys ") => keys.clone(),
            Manner::Token { body, .. } => body.clone(),
            _ => r#"{"access_token":"x"}"#.to_owned(),
        }
    }

    fn status(&self) -> Option<&'static str> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        match self.manner {
            Manner::Delay(delay) => std::thread::sleep(delay),
            Manner::HangUp => return None,
            Manner::Stall(at, length) => {
                if number == at {
                    let until = self.clock.now_ns() + u64::try_from(length.as_nanos()).unwrap();
                    self.stalled_until_ns.store(until, Ordering::SeqCst);
                }
                let until = self.stalled_until_ns.load(Ordering::SeqCst);
                let left = until.saturating_sub(self.clock.now_ns());
                std::thread::sleep(Duration::from_nanos(left));
            }
            Manner::Throttle if number % 2 == 1 => return Some("429 Too Many Requests"),
            Manner::Throttle | Manner::Token { .. } => {}
        }
        Some("200 OK")
    }
}

/// Returns a token for the wrong resource in an answer that looks right, and the keys that reveal
/// it.
pub(crate) fn wrong_token() -> Manner {
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let point = key.public_key().as_ref();
    let keys = json!({"keys": [{"kty": "EC", "crv": "P-256", "kid": "k",
        "x": b64(&point[1..33]), "y": b64(&point[33..])}]});
    let header = b64(br#"{"alg":"ES256","kid":"k"}"#);
    let claims = b64(br#"{"aud":"https://graph.microsoft.com/","exp":9999999999}"#);
    let signed = format!("{header}.{claims}");
    let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
    let token = format!("{signed}.{}", b64(signature.as_ref()));
    let body = json!({"access_token": token, "resource": "https://management.azure.com/"});
    Manner::Token { body: body.to_string(), keys: keys.to_string() }
}

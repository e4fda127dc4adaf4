//! Test of requests over a real connection: first without the body, then with it, and with a body that is too
//! long.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::*;

/// Sends `text` and reads until `end` arrives.
async fn exchange(stream: &mut TcpStream, text: &str, end: &str) -> String {
    stream.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.contains(end) {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer);
        let count = tokio::time::timeout(Duration::from_secs(10), read).await.unwrap().unwrap();
        assert_ne!(count, 0, "the connection ended after {answer}");
        answer.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    answer
}

#[tokio::test]
async fn a_client_asks_without_its_body_and_again_with_it_on_one_connection() {
    let world = World::new();
    let token = world.token(OFFICER);
    let Listening { address, stop, served } = listen(world.vault).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!("PUT /secrets/a?api-version=7.6 HTTP/1.1\r\nHost: {address}\r\n");
    for first in ["", "Content-Length: 0\r\n"] {
        let answer = exchange(&mut stream, &format!("{head}{first}\r\n"), "token.\"}}").await;
        assert!(answer.starts_with("HTTP/1.1 401 Unauthorized\r\n"), "{answer}");
        assert!(answer.contains("www-authenticate: Bearer authorization=\"https://"), "{answer}");
    }
    let body = r#"{"value":"whole"}"#;
    let length = body.len();
    let again =
        format!("{head}Authorization: Bearer {token}\r\nContent-Length: {length}\r\n\r\n{body}");
    let answer = exchange(&mut stream, &again, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.contains(&format!(r#""id":"http://{address}/secrets/a/"#)), "{answer}");
    let long = format!("{head}Authorization: Bearer {token}\r\nContent-Length: 1000000\r\n\r\n");
    let answer = exchange(&mut stream, &long, "}}").await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    stop.send(true).unwrap();
    drop(stream);
    served.await.unwrap();
}

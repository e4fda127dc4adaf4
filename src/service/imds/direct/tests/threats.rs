//! Threats to the identity endpoint, by their numbers in `docs/reliability.md`. Each test fails without its guard.

use super::*;
use crate::service::directory::tests::change;
use crate::service::world::record::{Change, Key};

/// Sends bytes on one connection from this address, and returns all answers.
fn sent_from(world: &World, address: [u8; 4], path: Path, bytes: &str) -> String {
    use tokio::io::AsyncWriteExt as _;
    world.runtime.block_on(async {
        let Client { mut stream, server, stop: _stop, .. } =
            world.open_from(address.into(), path, 64 * 1024);
        stream.write_all(bytes.as_bytes()).await.unwrap();
        // hyper gives no answer to a caller that has gone.
        let mut answers = Vec::new();
        timeout(DEADLINE, stream.read_buf(&mut answers)).await.unwrap().unwrap();
        stream.shutdown().await.unwrap();
        timeout(DEADLINE, stream.read_to_end(&mut answers)).await.unwrap().unwrap();
        timeout(DEADLINE, server).await.unwrap().unwrap();
        String::from_utf8(answers).unwrap()
    })
}

/// Sends bytes as the first VM, on both ways. Returns the answers in front of hyper.
fn sent(world: &World, bytes: &str) -> String {
    let address = WORLD.address(0).octets();
    let hyper = sent_from(world, address, Path::Hyper, bytes);
    let direct = sent_from(world, address, Path::Direct, bytes);
    assert_eq!(status(&direct), status(&hyper), "{bytes:?}");
    direct
}

fn status(answers: &str) -> &str {
    answers.split(' ').nth(1).unwrap_or("none")
}

fn client_id(answer: &str) -> &str {
    answer.split_once(r#""client_id":""#).map_or(answer, |(_, rest)| &rest[..36])
}

/// Returns a request of the first target with these lines in place of the header `Metadata`.
fn with_lines(lines: &str) -> String {
    get(&targets()[0]).replace("Metadata: true\r\n", lines)
}

#[test]
fn threat_01_forged_requests_without_the_metadata_header_learn_nothing() {
    let world = World::warm();
    for target in targets().iter().chain([&targets()[1].replace("client_id=", "client_id=0")]) {
        let forged = sent(&world, &get(target).replace("Metadata: true\r\n", ""));
        assert_eq!(status(&forged), "400", "{target}");
        let (_, body) = forged.split_once("\r\n\r\n").unwrap();
        assert_eq!(
            body,
            r#"{"error":"invalid_request","error_description":"Required metadata header not specified"}"#
        );
    }
}

#[test]
fn threat_02_requests_through_a_proxy_get_no_token() {
    let world = World::warm();
    for line in ["X-Forwarded-For: 10.0.0.1", "x-forwarded-for:", "X-FORWARDED-FOR: a, b"] {
        let proxied = sent(&world, &with_lines(&format!("Metadata: true\r\n{line}\r\n")));
        assert_eq!(status(&proxied), "400", "{line}");
    }
}

#[test]
fn threat_03_names_that_were_rebound_to_this_address_get_no_token() {
    let world = World::warm();
    for host in [
        "Host: evil.example\r\n",
        "Host: 127.0.0.1.evil.example\r\n",
        "",
        "Host: 127.0.0.1\r\nHost: 127.0.0.1\r\n",
    ] {
        let rebound = get(&targets()[0]).replace("Host: 127.0.0.1\r\n", host);
        assert_eq!(status(&sent(&world, &rebound)), "400", "{host}");
    }
}

#[test]
fn threat_04_pages_of_other_origins_fail_at_their_preflight() {
    let world = World::warm();
    let asks = "Origin: https://evil.example\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: metadata\r\n";
    let preflight = sent(&world, &with_lines(asks).replacen("GET", "OPTIONS", 1));
    assert_eq!(status(&preflight), "405");
    let answer = sent(&world, &with_lines("Metadata: true\r\nOrigin: https://evil.example\r\n"));
    assert_eq!(status(&answer), "200");
    for answer in [preflight, answer] {
        assert!(!answer.to_ascii_lowercase().contains("access-control-"), "{answer}");
    }
}

#[test]
fn threat_05_the_peer_address_decides_which_machine_calls_and_no_header_does() {
    let world = World::warm();
    let first = WORLD.address(0);
    let claims = format!("Metadata: true\r\nForwarded: for={first}\r\nX-Real-IP: {first}\r\n");
    for path in [Path::Direct, Path::Hyper] {
        let stranger = sent_from(&world, [127, 9, 9, 9], path, &with_lines(&claims));
        assert_eq!(status(&stranger), "403", "{stranger}");
        let second = sent_from(&world, WORLD.address(1).octets(), path, &with_lines(&claims));
        assert_eq!(client_id(&second), WORLD.system_assigned(1).client_id.to_string());
    }
}

#[test]
fn threat_06_what_another_server_may_read_as_two_requests_is_refused() {
    let world = World::warm();
    let hidden = get(&targets()[0]);
    let len = hidden.len();
    for lines in [
        "X: a\nMetadata: true\r\n".to_owned(),
        "Metadata: true\nX: a\r\n".to_owned(),
        "Metadata: true\r\nContent-Length: 0\r\nContent-Length: 5\r\n".to_owned(),
        format!("Metadata: true\r\nContent-Length: {len}\r\nTransfer-Encoding: x\r\n"),
        "Metadata : true\r\n".to_owned(),
        "Metadata: true\r\n folded: a\r\n".to_owned(),
    ] {
        let answers = sent(&world, &(with_lines(&lines) + &hidden));
        assert_eq!(status(&answers), "400", "{lines:?}");
        assert_eq!(answers.matches("HTTP/1.1 ").count(), 1, "{lines:?}: {answers}");
    }
    let absolute = hidden.replace("GET /", "GET http://169.254.169.254/");
    assert_eq!(status(&sent(&world, &absolute)), "400");
}

#[test]
fn threat_07_a_path_has_one_spelling() {
    let world = World::warm();
    let target = &targets()[0];
    for path in [
        "/metadata%2Fidentity/oauth2/token",
        "/metadata//identity/oauth2/token",
        "/metadata/./identity/oauth2/token",
        "/metadata/instance/../identity/oauth2/token",
        "/metadata/identity/oauth2/token;a=b",
        "/metadata/identity/oauth2/token%3F",
        "/metadata/Identity/oauth2/token",
        "/metadata/instances",
        "/.etadata/identity/oauth2/token",
        "/metadata/instance%2Fcompute",
    ] {
        let odd = target.replace("/metadata/identity/oauth2/token", path);
        assert_eq!(status(&sent(&world, &get(&odd))), "404", "{path}");
    }
}

#[test]
fn threat_08_a_parameter_that_is_given_twice_is_refused() {
    let world = World::warm();
    let target = &targets()[1];
    for more in ["&resource=https://vault.azure.net", "&client_id=a", "&object_id=a", "&x=1&x=1"] {
        assert_eq!(status(&sent(&world, &get(&format!("{target}{more}")))), "400", "{more}");
    }
}

#[test]
fn threat_09_an_identity_is_found_by_its_whole_name_and_has_its_own_tokens() {
    let world = World::warm();
    let id = WORLD.user_assigned_id(0, 0).unwrap().to_string();
    let ask = |id: &str| sent(&world, &get(&format!("{}&msi_res_id={id}", targets()[0])));
    let wanted = WORLD.user_assigned(0, 0).client_id.to_string();
    for id in [id.clone(), id.to_uppercase(), id.to_lowercase()] {
        assert_eq!(client_id(&ask(&id)), wanted, "{id}");
    }
    for id in [&id[..id.len() - 1], &format!("{id}0"), &format!("{id}/")] {
        assert_eq!(status(&ask(id)), "400", "{id}");
    }
    let [own, other, vault] = [0, 1, 2].map(|index| sent(&world, &get(&targets()[index])));
    assert_eq!(client_id(&own), WORLD.system_assigned(0).client_id.to_string());
    assert_eq!(client_id(&other), wanted);
    assert!(vault.contains(r#""resource":"https://vault.azure.net""#), "{vault}");
}

#[test]
fn threat_10_an_identity_that_was_removed_gets_no_token_from_the_cache_either() {
    let world = World::warm();
    let selected = get(&targets()[1]);
    assert_eq!(status(&sent(&world, &selected)), "200");
    let id = WORLD.user_assigned_id(0, 0).unwrap();
    change(&world.directory, Change::Remove(Key::UserAssigned(id)));
    let refused = sent(&world, &selected);
    assert_eq!(status(&refused), "400");
    assert!(refused.ends_with(r#""error_description":"Identity not found"}"#), "{refused}");
}

#[test]
fn threat_16_what_a_request_says_is_escaped_in_the_answer() {
    let world = World::warm();
    let target =
        targets()[0].replace("https://management.azure.com/", "%0d%0aX:%20a%22,%22b%22:%22");
    let answer = sent(&world, &get(&target));
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(status(head) == "400" && !head.contains("X: a"), "{head}");
    let json: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(json.as_object().unwrap().len(), 2, "{body}");
    assert!(json["error_description"].as_str().unwrap().contains("\r\nX: a\",\"b\":\""));
}

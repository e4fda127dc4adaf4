//! Single connections: which path answers, and when a connection ends.

use super::*;
use crate::service::directory::tests::change;
use crate::service::world::record::{Change, Key};

const BY_HYPER: (Path, u16, &str) = (Path::Hyper, 200, "hit");

#[test]
fn hits_of_eight_targets_are_answered_without_hyper() {
    let world = World::warm();
    world.runtime.block_on(async {
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        for target in targets().iter().cycle().take(80) {
            let answer = client.ask(target).await;
            assert_eq!(paths(&[answer]), [HIT], "{target}");
        }
        let counts: Vec<(u16, u64)> = client.responses.counts().collect();
        assert_eq!(counts[0], (200, 80));
        assert!(counts[1..].iter().all(|(_, count)| *count == 0));
    });
}

#[test]
fn a_hundred_requests_at_once_are_answered_in_order_through_a_narrow_pipe() {
    let world = World::warm();
    let targets = targets();
    let asked: Vec<&String> = targets.iter().cycle().take(100).collect();
    let all: String = asked.iter().map(|target| get(target)).collect();
    let mut seen = Vec::new();
    for path in [Path::Direct, Path::Hyper] {
        seen.push(world.runtime.block_on(async {
            let client = world.open(path, 700);
            let (mut reader, mut writer) = tokio::io::split(client.stream);
            let all = all.clone();
            let sent = tokio::spawn(async move {
                use tokio::io::AsyncWriteExt as _;
                writer.write_all(all.as_bytes()).await.unwrap();
                writer
            });
            let answers = read(&mut reader, 100).await;
            assert!(answers.iter().all(|answer| answer.path == path && answer.cache == "hit"));
            sent.await.unwrap();
            answers.into_iter().map(|answer| answer.resource).collect::<Vec<String>>()
        }));
    }
    assert_eq!(seen[0], seen[1]);
    for (target, resource) in asked.iter().zip(&seen[0]) {
        assert!(target.replace("%3A", ":").replace("%2F", "/").contains(resource.as_str()));
    }
}

#[test]
fn after_another_request_hyper_has_the_connection_until_it_answers_a_token_request() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    let unknown = get(&targets()[0].replace("management.azure.com/", "nobody.example"));
    let instance = get("/metadata/instance?api-version=2021-02-01");
    let proxied = hit.replace("Metadata", "X-Forwarded-For: a\r\nMetadata");
    world.runtime.block_on(async {
        for (request, status, cache) in
            [(&unknown, 400, ""), (&instance, 200, ""), (&proxied, 400, "")]
        {
            let mut client = world.open(Path::Direct, PIPE_BYTES);
            client.send(&[hit.as_str(), request, &hit].concat()).await;
            let answers = client.read(3).await;
            let others = [(Path::Hyper, status, cache), BY_HYPER];
            assert_eq!(paths(&answers), [HIT, others[0], others[1]], "{request}");
            // hyper gave the connection back with nothing in it, and then with requests.
            client.send(&[request.as_str(), request, &hit, &hit, &hit].concat()).await;
            let answers = client.read(5).await;
            assert_eq!(paths(&answers), [others[0], others[0], others[1], HIT, HIT], "{request}");
            // The same requests, each after the answer to the one before.
            let requests = [&hit, request, request, request, &hit, &hit];
            let expected = [HIT, others[0], others[0], others[0], others[1], HIT];
            for (request, answer) in requests.into_iter().zip(expected) {
                client.send(request).await;
                assert_eq!(paths(&client.read(1).await), [answer], "{request}");
            }
        }
    });
}

#[test]
fn after_a_request_with_a_body_hyper_keeps_the_connection() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    let unknown = get(&targets()[0].replace("management.azure.com/", "nobody.example"));
    let with_body = hit.replace("Metadata", "Content-Length: 2\r\nMetadata") + "ab";
    world.runtime.block_on(async {
        for before in [&hit, &unknown] {
            let mut client = world.open(Path::Direct, PIPE_BYTES);
            client.send(&[before.as_str(), &with_body, &hit, &hit].concat()).await;
            let answers = client.read(4).await;
            assert_eq!(paths(&answers[1..]), [BY_HYPER; 3], "{before}");
            assert_eq!(paths(&[client.ask(&targets()[0]).await]), [BY_HYPER]);
        }
    });
}

#[test]
fn after_a_head_that_is_not_plain_hyper_keeps_the_connection() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    let unknown = get(&targets()[0].replace("management.azure.com/", "nobody.example"));
    let odd = hit.replace("Metadata", "Content-Length: 0\r\nMetadata");
    world.runtime.block_on(async {
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        client.send(&[hit.as_str(), &odd, &hit, &odd, &hit].concat()).await;
        assert_eq!(paths(&client.read(5).await), [HIT, BY_HYPER, BY_HYPER, BY_HYPER, BY_HYPER]);
        // In a turn hyper alone sees the head.
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        client.send(&[unknown.as_str(), &odd, &hit, &odd, &hit].concat()).await;
        assert_eq!(paths(&client.read(5).await)[1..], [BY_HYPER, HIT, BY_HYPER, BY_HYPER]);
    });
}

#[test]
fn a_request_that_ends_the_connection_is_the_last_one_before_and_after_a_refusal() {
    let world = World::warm();
    let hit = get(&targets()[0]);
    let unknown = get(&targets()[0].replace("management.azure.com/", "nobody.example"));
    let last = hit.replace("Metadata", "Connection: close\r\nMetadata");
    world.runtime.block_on(async {
        for before in [&hit, &unknown] {
            let mut client = world.open(Path::Direct, PIPE_BYTES);
            client.send(&[before.as_str(), &last, &hit].concat()).await;
            assert_eq!(paths(&client.read(2).await[1..]), [BY_HYPER], "{before}");
            client.closed().await;
        }
    });
}

#[test]
fn a_connection_that_hyper_has_ends_when_its_client_leaves_or_the_process_stops() {
    let world = World::warm();
    let unknown = targets()[0].replace("management.azure.com/", "nobody.example");
    world.runtime.block_on(async {
        for is_stopped in [true, false] {
            let mut client = world.open(Path::Direct, PIPE_BYTES);
            assert_eq!(client.ask(&unknown).await.status, 400);
            let Client { stream, server, stop, .. } = client;
            if is_stopped {
                stop.send_replace(true);
                timeout(DEADLINE, server).await.unwrap().unwrap();
                drop(stream);
            } else {
                drop(stream);
                timeout(DEADLINE, server).await.unwrap().unwrap();
            }
        }
    });
}

#[test]
fn an_expired_token_and_a_removed_machine_are_seen_by_the_next_request() {
    let world = World::warm();
    let target = &targets()[0];
    world.runtime.block_on(async {
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        assert_eq!(paths(&[client.ask(target).await]), [HIT]);
        world.clock.advance(LIFETIME);
        assert_eq!(client.ask(target).await.cache, "miss");
        assert_eq!(client.ask(target).await.cache, "hit");
        let vm = WORLD.vm_id(0).unwrap();
        change(&world.directory, Change::Remove(Key::VirtualMachine(vm)));
        let refused = client.ask(target).await;
        assert_eq!((refused.path, refused.status), (Path::Hyper, 403));
    });
}

#[test]
fn an_idle_connection_ends_at_once_when_the_process_stops() {
    let world = World::warm();
    for path in [Path::Direct, Path::Hyper] {
        world.runtime.block_on(async {
            let mut client = world.open(path, PIPE_BYTES);
            assert_eq!(client.ask(&targets()[0]).await.path, path);
            client.stop.send_replace(true);
            client.closed().await;
        });
    }
}

#[test]
fn an_answer_that_the_peer_has_not_read_is_finished_when_the_process_stops() {
    let world = World::warm();
    for path in [Path::Direct, Path::Hyper] {
        world.runtime.block_on(async {
            let request = get(&targets()[0]);
            let mut client = world.open(path, request.len());
            client.send(&request).await;
            settle().await;
            client.stop.send_replace(true);
            settle().await;
            assert!(!client.server.is_finished());
            assert_eq!(paths(&client.read(1).await), [(path, 200, "hit")]);
            client.closed().await;
        });
    }
}

#[test]
fn a_head_that_has_begun_when_the_process_stops_may_be_finished() {
    let world = World::warm();
    let request = get(&targets()[0]);
    let (start, end) = request.split_at(40);
    for path in [Path::Direct, Path::Hyper] {
        world.runtime.block_on(async {
            let mut client = world.open(path, PIPE_BYTES);
            client.send(start).await;
            settle().await;
            client.stop.send_replace(true);
            settle().await;
            client.send(end).await;
            assert_eq!(paths(&client.read(1).await), [(Path::Hyper, 200, "hit")]);
            client.closed().await;
        });
    }
}

/// Sends without pause until the server closes, and reads all answers. Returns the number of whole ones.
async fn pipelined_until_closed(mut client: Client, request: String) -> usize {
    let (mut reader, mut writer) = tokio::io::split(client.stream);
    let sender = tokio::spawn(async move {
        use tokio::io::AsyncWriteExt as _;
        while writer.write_all(request.as_bytes()).await.is_ok() {}
    });
    let mut bytes = Vec::new();
    while answers(&bytes).is_empty() {
        assert!(reader.read_buf(&mut bytes).await.unwrap() > 0);
    }
    client.stop.send_replace(true);
    timeout(DEADLINE, reader.read_to_end(&mut bytes)).await.unwrap().unwrap();
    timeout(DEADLINE, &mut client.server).await.unwrap().unwrap();
    timeout(DEADLINE, sender).await.unwrap().unwrap();
    answers(&bytes).len()
}

#[test]
fn a_client_that_sends_without_pause_does_not_delay_the_end_of_the_process() {
    let world = World::warm();
    let (hit, miss) = (get(&targets()[0]), get(&fresh(&targets()[0])));
    for path in [Path::Direct, Path::Hyper] {
        // One request fills the buffer of the reader, or several do.
        for (request, pipe_bytes) in [
            (&hit, hit.len()),
            (&hit, PIPE_BYTES),
            (&hit.repeat(15), 700),
            (&miss, miss.len()),
            (&miss, PIPE_BYTES),
            (&miss.repeat(15), 700),
        ] {
            let answered = world.runtime.block_on(async {
                pipelined_until_closed(world.open(path, pipe_bytes), request.clone()).await
            });
            assert!(answered > 0, "{path:?}");
        }
    }
}

#[test]
fn what_has_begun_after_an_answer_does_not_delay_the_end_of_the_process() {
    let world = World::warm();
    let unknown = get(&targets()[0].replace("management.azure.com/", "nobody.example"));
    let hit = get(&targets()[0]);
    for path in [Path::Direct, Path::Hyper] {
        for before in [&hit, &unknown] {
            for begun in ["\r\n", &hit[..3], &hit[..40], &unknown[..60]] {
                world.runtime.block_on(async {
                    let mut client = world.open(path, PIPE_BYTES);
                    client.send(before).await;
                    client.read(1).await;
                    client.send(begun).await;
                    settle().await;
                    client.stop.send_replace(true);
                    client.closed().await;
                });
            }
        }
    }
}

#[test]
fn the_limits_of_a_vm_count_on_both_paths() {
    for path in [Path::Direct, Path::Hyper] {
        let world = World::warm();
        // The tokens of the targets are in the cache.
        limit_first_vm(&world, "identity=3/s");
        world.runtime.block_on(async {
            let mut client = world.open(path, PIPE_BYTES);
            let target = &targets()[0];
            let hit = (path, 200, "hit");
            for _ in 0..3 {
                assert_eq!(paths(&[client.ask(target).await]), [hit]);
            }
            for _ in 0..3 {
                assert_eq!(paths(&[client.ask(target).await]), [(Path::Hyper, 429, "")]);
            }
            world.clock.advance(Seconds(1));
            for status in [200, 200, 200, 429] {
                assert_eq!(client.ask(target).await.status, status);
            }
            let counts: Vec<(u16, u64)> = client.responses.counts().collect();
            assert!(counts.contains(&(200, 6)) && counts.contains(&(429, 4)), "{counts:?}");
        });
    }
}

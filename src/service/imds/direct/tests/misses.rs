//! Requests whose token has to be minted: who answers, and what is left of those that end early.

use super::*;

const MISS: (Path, u16, &str) = (Path::Direct, 200, "miss");

#[test]
fn misses_are_answered_without_hyper() {
    let world = World::new();
    let targets = targets();
    let [first, second] = [&targets[0], &targets[7]].map(|target| get(target));
    world.runtime.block_on(async {
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        client.send(&[first.as_str(), &first, &second, &second, &first].concat()).await;
        assert_eq!(paths(&client.read(5).await), [MISS, HIT, MISS, HIT, HIT]);
        assert_eq!(paths(&[client.ask(&targets[0]).await]), [HIT]);
        let stats = world.broker.stats();
        assert_eq!((stats.misses, stats.coalesced, stats.cache.hits), (2, 0, 4));
    });
}

#[test]
fn requests_that_arrive_during_a_miss_are_answered_after_it() {
    let world = World::warm();
    let targets = targets();
    let cold = targets[0].replace("management.azure.com", "management.core.windows.net");
    world.runtime.block_on(async {
        let go = world.hold_mints();
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        let misses = world.broker.stats().misses;
        client.send(&get(&cold)).await;
        until(|| world.broker.stats().misses > misses).await;
        let hit = get(&targets[1]);
        let (start, end) = hit.split_at(20);
        client.send(&(hit.clone() + start)).await;
        settle().await;
        drop(go);
        assert_eq!(paths(&client.read(2).await), [MISS, HIT]);
        client.send(end).await;
        assert_eq!(paths(&client.read(1).await), [HIT]);
    });
}

#[test]
fn a_caller_that_goes_away_during_a_miss_leaves_nothing_behind() {
    for (path, is_aborted) in
        [Path::Direct, Path::Hyper].into_iter().flat_map(|path| [(path, false), (path, true)])
    {
        let world = World::new();
        limit_first_vm(&world, "concurrent=1");
        let request = get(&targets()[0]);
        world.runtime.block_on(async {
            let go = world.hold_mints();
            let mut client = world.open(path, PIPE_BYTES);
            client.send(&request).await;
            until(|| world.broker.stats().misses == 1).await;
            assert_eq!(world.open(path, PIPE_BYTES).ask(&targets()[0]).await.status, 429);
            let Client { stream, server, stop: _stop, responses } = client;
            if is_aborted {
                // As at the end of a shutdown, and when the limiter makes room.
                server.abort();
                assert!(timeout(DEADLINE, server).await.unwrap().unwrap_err().is_cancelled());
            } else {
                drop(stream);
                timeout(DEADLINE, server).await.unwrap().unwrap();
            }
            assert!(responses.counts().all(|(_, count)| count == 0), "{path:?}");
            // Its permit is free, and its mint goes on.
            let mut next = world.open(path, PIPE_BYTES);
            next.send(&request).await;
            until(|| world.broker.stats().coalesced == 1).await;
            drop(go);
            assert_eq!(paths(&next.read(1).await), [(path, 200, "coalesced")]);
            assert_eq!(paths(&[next.ask(&targets()[0]).await]), [(path, 200, "hit")]);
            let stats = world.broker.stats();
            assert_eq!((stats.misses, stats.coalesced, stats.cache.hits), (1, 1, 1));
            assert_eq!((stats.lanes.mints, stats.lanes.failures, stats.lanes.queued), (1, 0, 0));
        });
    }
}

#[test]
fn a_miss_is_answered_while_the_process_stops_and_then_the_connection_ends() {
    for (path, miss) in [(Path::Direct, MISS), (Path::Hyper, (Path::Hyper, 200, "miss"))] {
        let world = World::new();
        world.runtime.block_on(async {
            let go = world.hold_mints();
            let mut client = world.open(path, PIPE_BYTES);
            client.send(&get(&targets()[0])).await;
            until(|| world.broker.stats().misses == 1).await;
            client.stop.send_replace(true);
            settle().await;
            assert!(!client.server.is_finished());
            drop(go);
            assert_eq!(paths(&client.read(1).await), [miss]);
            client.closed().await;
        });
    }
}

#[test]
fn a_mint_that_fails_is_tried_once_and_its_refusal_is_that_of_hyper() {
    let request = get(&targets()[0]);
    let mut seen = Vec::new();
    for path in [Path::Direct, Path::Hyper] {
        let world = World::new();
        world.source.fails.store(true, Ordering::Relaxed);
        world.runtime.block_on(async {
            let mut client = world.open(path, PIPE_BYTES);
            client.send(&request.repeat(3)).await;
            let refused = client.read(3).await;
            world.source.fails.store(false, Ordering::Relaxed);
            let given = [client.ask(&targets()[0]).await, client.ask(&targets()[0]).await];
            assert_eq!(paths(&refused), [(Path::Hyper, 500, ""); 3]);
            assert_eq!(paths(&given)[0], (Path::Hyper, 200, "miss"));
            assert_eq!(paths(&given)[1], (path, 200, "hit"));
            let stats = world.broker.stats();
            let heads: Vec<String> = refused.into_iter().map(|answer| answer.head).collect();
            let counts: Vec<_> = client.responses.counts().collect();
            seen.push((heads, counts, stats.misses, stats.lanes.failures, stats.cache.hits));
        });
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!((seen[0].2, seen[0].3), (4, 3));
}

#[test]
fn requests_that_bypass_the_cache_are_answered_without_hyper() {
    let world = World::warm();
    let fresh = fresh(&targets()[0]);
    world.runtime.block_on(async {
        let mut client = world.open(Path::Direct, PIPE_BYTES);
        for (target, expected) in
            [(&targets()[0], HIT), (&fresh, MISS), (&fresh, MISS), (&targets()[0], HIT)]
        {
            assert_eq!(paths(&[client.ask(target).await]), [expected], "{target}");
        }
    });
}

#[test]
fn a_miss_takes_one_request_of_the_limits_of_its_vm() {
    for path in [Path::Direct, Path::Hyper] {
        let world = World::new();
        limit_first_vm(&world, "identity=3/s,concurrent=1");
        world.runtime.block_on(async {
            let mut client = world.open(path, PIPE_BYTES);
            for target in targets().iter().step_by(2).take(3) {
                assert_eq!(paths(&[client.ask(target).await]), [(path, 200, "miss")], "{target}");
            }
            let last = get(&targets()[6]);
            client.send(&last.repeat(2)).await;
            assert_eq!(paths(&client.read(2).await), [(Path::Hyper, 429, ""); 2]);
            assert_eq!(world.broker.stats().misses, 3);
        });
    }
}

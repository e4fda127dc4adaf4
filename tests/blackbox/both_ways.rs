//! The identity endpoint answers alike with and without the reader of token requests in front of
//! hyper.

use crate::broker::{Broker, token_target};

const ARM: &str = "resource=https%3A%2F%2Fmanagement.azure.com%2F";

/// Sends the same requests on one connection, and returns each status with the origin of its token.
fn answers(broker: &Broker) -> Vec<(u16, String)> {
    let mut connection = broker.connect("imds");
    let targets = [
        token_target(ARM),
        token_target(ARM),
        token_target("resource=https://account.blob.core.windows.net/"),
        token_target("resource=https://account.blob.core.windows.net/"),
        token_target(&format!("{ARM}&client_id=c11e0000-0000-4000-8000-00000000000a")),
        token_target(ARM),
        "/metadata/instance?api-version=2021-02-01".to_owned(),
        token_target(ARM),
        token_target("resource=https://nobody.example"),
        token_target(ARM),
    ];
    let asked = |target: &String| {
        let answer = connection.get(target);
        let origin = answer.headers.get("x-mintbench-cache").cloned();
        (answer.status, origin.unwrap_or_default())
    };
    targets.iter().map(asked).collect()
}

/// Returns the lines of the metrics that requests change.
fn counters(broker: &Broker) -> Vec<String> {
    let text = broker.connect("admin").get("/metrics").text();
    let counted = ["mintbench_cache_", "mintbench_mints_total", "mintbench_imds_responses"];
    let is_counted = |line: &&str| counted.iter().any(|name| line.starts_with(name));
    text.lines().filter(is_counted).map(str::to_owned).collect()
}

#[test]
fn both_ways_give_the_same_answers_and_count_the_same() {
    let seen = [&[][..], &["--hyper-only"]].map(|flags| {
        let broker = Broker::serve(flags);
        (answers(&broker), counters(&broker))
    });
    assert_eq!(seen[0], seen[1]);
    let (answers, counters) = &seen[0];
    let hits = answers.iter().filter(|(_, origin)| origin == "hit").count();
    assert_eq!(hits, 5);
    assert!(counters.contains(&"mintbench_cache_hits_total 5".to_owned()), "{counters:?}");
    assert!(counters.contains(&"mintbench_cache_misses_total 3".to_owned()), "{counters:?}");
}

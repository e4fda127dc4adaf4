//! Merged results from a user's view.

use std::fs;

use serde_json::json;

use crate::{Copy, against_schema, code, mintbench, stderr, stdout};

/// Returns two copies of the reference.
fn two() -> Copy {
    let copy = Copy::of("steady");
    copy.add("steady", "other");
    copy.edit("other", |run| {
        run["run_id"] = "00000000-0000-4000-8000-000000000001".into();
        run["seed"] = 2.into();
    });
    copy
}

#[test]
fn two_results_become_one_that_its_schema_describes_and_that_has_a_report() {
    let copy = two();
    let out = copy.text("out");
    let output = mintbench(&["merge", &copy.text("run"), &copy.text("other"), "--out", &out]);
    assert_eq!(code(&output), 4, "the reference is of an invalid run: {}", stderr(&output));
    assert!(stdout(&output).contains("INVALID   part "), "{}", stdout(&output));
    let merged = crate::json(&copy.path("out").join("run.json"));
    against_schema("run-2", &merged);
    let part = crate::json(&copy.path("run").join("run.json"));
    let double = |path: &str| {
        let count = |run: &serde_json::Value| run.pointer(path).unwrap().as_u64().unwrap();
        assert_eq!(count(&merged), 2 * count(&part), "{path}");
    };
    for path in [
        "/classes/hit/count",
        "/statuses/200",
        "/broker/hits",
        "/load/scheduled",
        "/verified/sampled",
    ] {
        double(path);
    }
    // Merging the same samples twice keeps the percentiles. The logs of version 1 have no lower bounds.
    for percentile in ["p50", "p90", "p99", "p999", "max"] {
        let of = |run: &serde_json::Value| run["classes"]["hit"]["response_us"][percentile].clone();
        let value = of(&part);
        let recorded =
            json!({"value": value, "lower": null, "upper": value, "standing": "recorded"});
        assert_eq!(of(&merged), recorded);
    }
    assert_eq!(merged["classes"]["hit"]["service_us"], part["classes"]["hit"]["service_us"]);
    assert_eq!(merged["validity"]["lag_us"], part["validity"]["lag_us"]);
    assert_eq!(
        merged["load"]["rate_target"].as_f64(),
        part["load"]["rate_target"].as_f64().map(|r| 2.0 * r)
    );
    assert!(
        merged["broker"]["rss_bytes"].is_null() && merged["broker"]["cpu_us_per_request"].is_null()
    );
    let page = fs::read_to_string(copy.path("out").join("report.html")).unwrap();
    assert!(page.contains("Response times by part, aligned by time"));
    let text = fs::read_to_string(copy.path("out").join("response.hit.hgrm")).unwrap();
    let count = merged["classes"]["hit"]["count"].as_u64().unwrap();
    assert!(text.contains(&format!("Total count    = {count:>12}]")), "{text}");
}

#[test]
fn what_parts_do_not_have_alike_is_unknown_and_as_the_schema_says() {
    let copy = two();
    for (name, share) in [("run", 0.1), ("other", 0.2)] {
        copy.edit(name, |run| {
            run["validity"]["throttled_share"] = share.into();
            run["validity"]["steady"] =
                json!({"state": "steady", "warm_up_s": 0, "halves_p95_us": null});
            run["host"]["smt"] = true.into();
        });
    }
    copy.edit("other", |run| run["validity"]["steady"]["warm_up_s"] = 2.into());
    copy.edit("other", |run| run["host"]["idle_states"] = json!(["C1"]));
    let out = copy.text("out");
    let output = mintbench(&["merge", &copy.text("run"), &copy.text("other"), "--out", &out]);
    assert_eq!(code(&output), 4, "{}", stderr(&output));
    let merged = crate::json(&copy.path("out").join("run.json"));
    against_schema("run-2", &merged);
    assert_eq!(merged["host"]["smt"], true);
    for unknown in ["/validity/throttled_share", "/validity/steady", "/host/idle_states"] {
        assert_eq!(merged.pointer(unknown), Some(&serde_json::Value::Null), "{unknown}");
    }
}

#[test]
fn results_of_different_times_are_merged_by_index_where_that_is_asked_for() {
    let copy = two();
    for log in ["response", "service", "lag"] {
        let path = copy.path("other").join(format!("{log}.hlog"));
        let text = fs::read_to_string(&path).unwrap();
        let time =
            |text: &str| text.split("Time: ").nth(1).unwrap().split('.').next().unwrap().to_owned();
        let later = time(&text).parse::<u64>().unwrap() + 7;
        fs::write(path, text.replace(&time(&text), &later.to_string())).unwrap();
    }
    let merge = |align: &str, out: &str| {
        let args = [
            "merge",
            &copy.text("run"),
            &copy.text("other"),
            "--align",
            align,
            "--out",
            &copy.text(out),
        ];
        let output = mintbench(&args);
        assert_eq!(code(&output), 4, "{}", stderr(&output));
        (stdout(&output), crate::json(&copy.path(out).join("run.json")))
    };
    let (text, run) = merge("time", "time");
    assert!(text.contains("PARTIAL") && text.contains("in 14 of 37 s not all parts ran"), "{text}");
    assert_eq!(run["load"]["duration_s"], 37.0);
    let (text, run) = merge("index", "index");
    assert!(!text.contains("PARTIAL"), "{text}");
    assert_eq!(run["load"]["duration_s"], 30.0);
}

#[test]
fn a_folder_that_is_in_use_or_in_twice_is_refused() {
    let copy = two();
    let (a, b) = (copy.text("run"), copy.text("other"));
    let output = mintbench(&["merge", &a, &b, "--out", &a]);
    assert_eq!(code(&output), 2);
    assert!(
        stderr(&output).contains("holds a run already; choose another folder with --out"),
        "{}",
        stderr(&output)
    );
    let output = mintbench(&["merge", &a, &a, "--out", &copy.text("out")]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("would count twice"), "{}", stderr(&output));
    assert!(!copy.path("out").exists());
}

//! Refusals that all paths share.

use super::*;
use crate::base::http::BodyError;
use proptest::prelude::*;

fn plain(world: &World, method: &str, path: &str, body: &[u8]) -> Answer {
    world.raw(("owner", method, path), body, |_| {})
}

#[test]
fn the_api_version_is_required_and_known() {
    let world = world();
    let answer = |query: &str| plain(&world, "GET", &format!("{}{query}", machine_id("vm")), b"");
    let missing = answer("");
    assert_eq!(missing.refusal(), (400, "MissingApiVersionParameter"));
    assert_eq!(
        missing.message(),
        "The api-version query parameter (?api-version=) is required for all requests."
    );
    assert_eq!(missing.header("x-ms-failure-cause"), "gateway");
    let malformed = answer("?api-version=2024");
    assert_eq!(malformed.refusal(), (400, "InvalidApiVersionParameter"));
    assert!(malformed.message().starts_with(
        "The api-version '2024' is invalid. The supported versions are '2026-04-01,2026-03-01,"
    ));
    let unsupported = answer("?api-version=2001-01-01");
    assert_eq!(unsupported.refusal(), (400, "NoRegisteredProviderFound"));
    assert!(
        unsupported
            .message()
            .contains("for type 'virtualMachines'. The supported api-versions are '2026-04-01, ")
    );
    let twice = answer("?api-version=2024-07-01&Api-Version=2024-11-01");
    assert_eq!(twice.refusal(), (400, "InvalidQueryParameterValue"));
    assert_eq!(answer("?API-VERSION=2024-07-01").status, 404);
}

#[test]
fn what_is_not_there_is_told_from_what_cannot_be() {
    let world = world();
    let none = "/subscriptions/00000000-0000-4000-8000-0000000000ff";
    for (path, status, code, message) in [
        (
            none.to_owned(),
            404,
            "SubscriptionNotFound",
            "The subscription '00000000-0000-4000-8000-0000000000ff' could not be found.",
        ),
        (identity_id("one").replace(SUB, none), 404, "SubscriptionNotFound", "The subscription"),
        (
            identity_id("one").replace("/rg/", "/none/"),
            404,
            "ResourceGroupNotFound",
            "Resource group 'none' could not be found.",
        ),
        (
            identity_id("one"),
            404,
            "ResourceNotFound",
            "The Resource 'Microsoft.ManagedIdentity/userAssignedIdentities/one' under resource group 'rg' was not found. For more details please go to https://aka.ms/ARMResourceNotFoundFix",
        ),
        (
            format!("{GROUP}/providers/Microsoft.Compute/galleries/g"),
            404,
            "InvalidResourceType",
            "The resource type 'galleries' could not be found in the namespace 'Microsoft.Compute' for api version '2024-07-01'.",
        ),
        (
            format!("{GROUP}/providers/Contoso.Bikes/bikes/b"),
            404,
            "InvalidResourceNamespace",
            "The resource namespace 'Contoso.Bikes' is invalid.",
        ),
        ("/subscriptions/nope".to_owned(), 400, "InvalidSubscriptionId", "The provided"),
        ("/nowhere".to_owned(), 404, "NotFound", "No HTTP resource"),
    ] {
        let answer = world.get(&path);
        assert_eq!(answer.refusal(), (status, code), "{path}");
        assert!(answer.message().starts_with(message), "{}", answer.message());
    }
    let made =
        world.put(&identity_id("one").replace("/rg/", "/none/"), &json!({"location": "westus"}));
    assert_eq!(made.refusal(), (404, "ResourceGroupNotFound"));
}

#[test]
fn content_that_is_no_object_is_refused() {
    let world = world();
    let path = versioned(&identity_id("one"));
    for body in ["", "{", "[]", "7", "\"x\"", "{\"location\":}", "\u{fffd}"] {
        let answer = plain(&world, "PUT", &path, body.as_bytes());
        assert_eq!(answer.refusal(), (400, "InvalidRequestContent"), "{body}");
        assert!(
            answer
                .message()
                .starts_with("The request content was invalid and could not be deserialized: '")
        );
    }
    let deep = "{\"a\":".repeat(5000);
    assert_eq!(plain(&world, "PUT", &path, deep.as_bytes()).status, 400);
}

#[test]
fn a_body_that_is_too_long_or_broken_is_refused_after_the_caller_is_known() {
    let world = world();
    let answer = |error, authorised: bool| {
        let token = world.token_for("owner", ARM);
        let mut request = Request::builder()
            .method("PUT")
            .uri(versioned(&identity_id("one")))
            .header("host", "localhost");
        if authorised {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(world.arm.answer(parts, "http", async { Err(error) })).status().as_u16()
    };
    assert_eq!(answer(BodyError::TooLarge(1), true), 413);
    assert_eq!(answer(BodyError::Broken, true), 400);
    assert_eq!(answer(BodyError::TooLarge(1), false), 401);
}

#[test]
fn verbs_that_a_path_does_not_take_are_refused_with_those_that_it_takes() {
    let world = world();
    for (method, path, allowed) in [
        ("OPTIONS", GROUP, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("TRACE", GROUP, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("BREW", GROUP, "GET, HEAD, POST, PUT, PATCH, DELETE"),
        ("POST", GROUP, "GET, HEAD, PUT, PATCH, DELETE"),
        ("DELETE", SUB, "GET, HEAD"),
        ("PUT", "/subscriptions", "GET, HEAD"),
        ("PATCH", &assignment_path(GROUP, 1), "GET, HEAD, PUT, DELETE"),
    ] {
        let answer = plain(&world, method, &versioned(path), b"{}");
        assert_eq!((answer.status, answer.header("allow")), (405, allowed), "{method} {path}");
    }
}

#[test]
fn no_answer_lets_another_origin_read_it() {
    let world = world();
    for method in ["GET", "OPTIONS", "PUT"] {
        let answer = world.raw(("owner", method, &versioned(GROUP)), b"{}", |headers| {
            headers.insert("origin", "https://evil.example".parse().unwrap());
            headers.insert("access-control-request-method", "PUT".parse().unwrap());
        });
        let cors = answer.headers.keys().find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(cors, None);
    }
}

#[test]
fn a_host_that_cannot_stand_in_a_link_is_refused() {
    let world = world();
    let with_host = |host: Option<&str>| {
        world.raw(("owner", "GET", &versioned(GROUP)), b"", |headers| {
            headers.remove("host");
            if let Some(host) = host {
                headers.insert("host", host.parse().unwrap());
            }
        })
    };
    for host in [None, Some(""), Some("a/b"), Some("a b"), Some("u@h"), Some("a?b")] {
        assert_eq!(with_host(host).refusal(), (400, "InvalidHostHeader"), "{host:?}");
    }
    assert_eq!(with_host(Some("management.azure.com")).status, 200);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_path_query_or_body_panics(
        method in proptest::sample::select(vec!["GET", "HEAD", "PUT", "PATCH", "DELETE", "POST"]),
        path in "(/|subscriptions|00000000-0000-4000-8000-0000000000b1|resourceGroups|rg|providers|Microsoft.Compute|virtualMachines|vm|[!-~]{0,3}){0,14}",
        query in "(api-version=2024-07-01|&|\\$filter=|atScope\\(\\)|\\$top=|\\$skiptoken=|[!-~]{0,4}){0,6}",
        body in "(\\{|\\}|\"|:|,|identity|type|properties|null|\\[|\\]|[ -~]{0,3}){0,30}",
    ) {
        let target = format!("/{}?{}", path.replace(['#', '?'], ""), query.replace('#', ""));
        if target.parse::<hyper::Uri>().is_ok() {
            let answer = plain(&world(), method, &target, body.as_bytes());
            prop_assert!(answer.status < 500, "{method} {target}");
        }
    }

    #[test]
    fn no_content_of_a_machine_panics(value in any_json()) {
        let world = world();
        let path = machine_id("vm");
        for method in ["PUT", "PATCH"] {
            let body = json!({"location": "westus", "identity": value.clone(), "properties": value.clone()});
            prop_assert!(world.send("owner", method, &path, &body).status < 500);
        }
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = proptest::sample::select(vec![
        "type",
        "userAssignedIdentities",
        "osProfile",
        "None",
        "x",
        "UserAssigned",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((word.clone(), inner), 0..4)
                .prop_map(|pairs| pairs.into_iter().collect::<Value>()),
        ]
    })
}

//! Random sequences of operations have the same effect on the vault as on a simple model.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const NAMES: [&str; 2] = ["a", "b"];
const RECOVERABLE: u64 = 90 * 24 * 60 * 60;

#[derive(Clone, Debug)]
enum Step {
    Advance(u64),
    Delete,
    Get,
    Purge,
    PurgeDue,
    Recover,
    Set(u8),
    Switch(bool),
}

/// Model of a secret: the values of its versions with their enabled flags, and the time of its deletion.
#[derive(Clone, Debug, Default)]
struct Modelled {
    versions: Vec<(u8, bool)>,
    deleted: Option<u64>,
}

#[derive(Default)]
struct Model {
    now: u64,
    secrets: BTreeMap<&'static str, Modelled>,
}

impl Model {
    fn forget_due(&mut self) {
        let now = self.now;
        self.secrets.retain(|_, secret| secret.deleted.is_none_or(|at| now < at + RECOVERABLE));
    }

    /// Applies a step and returns the expected status.
    fn step(&mut self, name: &'static str, step: &Step) -> u16 {
        if let Step::Advance(seconds) = step {
            self.now += seconds;
        }
        self.forget_due();
        let held = self.secrets.get_mut(name);
        match (step, held) {
            (Step::Advance(_) | Step::PurgeDue, _) => 200,
            (Step::Set(_), Some(Modelled { deleted: Some(_), .. })) => 409,
            (Step::Set(value), _) => {
                self.secrets.entry(name).or_default().versions.push((*value, true));
                200
            }
            (Step::Recover, Some(secret)) if secret.deleted.is_some() => {
                secret.deleted = None;
                200
            }
            (Step::Purge, Some(secret)) if secret.deleted.is_some() => {
                self.secrets.remove(name);
                204
            }
            (_, None | Some(Modelled { deleted: Some(_), .. }))
            | (Step::Recover | Step::Purge, _) => 404,
            (Step::Delete, Some(secret)) => {
                secret.deleted = Some(self.now);
                200
            }
            (Step::Get, Some(secret)) => match secret.versions.last() {
                Some((_, true)) => 200,
                _ => 403,
            },
            (Step::Switch(on), Some(secret)) => {
                secret.versions.last_mut().unwrap().1 = *on;
                200
            }
        }
    }
}

fn perform(world: &World, name: &str, step: &Step) -> u16 {
    let (secret, deleted) = (format!("/secrets/{name}"), format!("/deletedsecrets/{name}"));
    let answer = match step {
        Step::Advance(seconds) => {
            world.clock.advance(Seconds(*seconds));
            return 200;
        }
        Step::PurgeDue => {
            purge_due(&world.directory, world.clock.now()).unwrap();
            return 200;
        }
        Step::Delete => world.ask("DELETE", &secret, ""),
        Step::Get => world.get(&secret),
        Step::Purge => world.ask("DELETE", &deleted, ""),
        Step::Recover => world.ask("POST", &format!("{deleted}/recover"), ""),
        Step::Set(value) => world.set(name, &value.to_string()),
        Step::Switch(on) => {
            world.ask("PATCH", &secret, &format!(r#"{{"attributes":{{"enabled":{on}}}}}"#))
        }
    };
    answer.status
}

/// Checks that all readable secrets agree with the model.
fn agree(world: &World, model: &Model) {
    let listed = |path: &str| {
        let page = world.get(path).json();
        let items = page["value"].as_array().unwrap().clone();
        let ids = items.into_iter().map(|item| item["id"].as_str().unwrap().to_owned());
        let names = ids.map(|id| id.rsplit('/').next().unwrap().to_owned());
        names.filter(|name| name != "demo-secret").collect::<Vec<_>>()
    };
    let expected = |deleted: bool| {
        let secrets = model.secrets.iter();
        let found = secrets.filter(|(_, secret)| secret.deleted.is_some() == deleted);
        found.map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed("/secrets"), expected(false));
    assert_eq!(listed("/deletedsecrets"), expected(true));
    for name in NAMES {
        let live = model.secrets.get(name).filter(|secret| secret.deleted.is_none());
        let versions = live.map(|secret| secret.versions.clone()).unwrap_or_default();
        let ids = listed(&format!("/secrets/{name}/versions"));
        assert_eq!(ids.len(), versions.len());
        for (id, (value, enabled)) in ids.iter().zip(versions) {
            let answer = world.get(&format!("/secrets/{name}/{id}"));
            assert_eq!(answer.status, if enabled { 200 } else { 403 });
            if enabled {
                assert_eq!(answer.json()["value"], value.to_string());
            }
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => prop_oneof![Just(1), Just(RECOVERABLE - 1), Just(RECOVERABLE)].prop_map(Step::Advance),
        3 => Just(Step::Delete),
        2 => Just(Step::Get),
        1 => Just(Step::Purge),
        1 => Just(Step::PurgeDue),
        2 => Just(Step::Recover),
        4 => any::<u8>().prop_map(Step::Set),
        1 => any::<bool>().prop_map(Step::Switch),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_sequence_of_operations_agrees_with_the_model(
        steps in prop::collection::vec((prop::sample::select(&NAMES[..]), step()), 1..24),
    ) {
        let (world, mut model) = (World::new(), Model::default());
        for (name, step) in steps {
            let expected = model.step(name, &step);
            prop_assert_eq!(perform(&world, name, &step), expected, "{:?} {}", step, name);
            agree(&world, &model);
        }
    }

    #[test]
    fn no_request_makes_a_vault_panic(
        method in "(GET|PUT|PATCH|POST|DELETE)",
        path in "(/|secrets|deletedsecrets|keys|deletedkeys|create|sign|versions|recover|demo-secret|[!-~&&[^?#\"<>`{}]]){0,10}",
        query in "(api-version=7\\.4&)?(maxresults=|\\$skiptoken=|[a-zA-Z0-9%=&._-]){0,8}",
        body in "(\\{\"value\":\"x\"\\}|[{}\\[\\]\":,a-z0-9]{0,20})",
    ) {
        let world = World::with_keys();
        let ask = Ask::bare(&method, &format!("/{path}?{query}"));
        let status = world.send(ask.token(&world.token(OFFICER)).body(&body)).status;
        prop_assert!(matches!(status, 200 | 204 | 400 | 404 | 405 | 409), "{}", status);
    }
}

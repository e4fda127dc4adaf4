//! Rotation policies: their bodies, their rules, and the time at which a key is due (Azure, "Configure
//! cryptographic key auto-rotation in Azure Key Vault").

use serde::{Deserialize, Serialize};

use super::refusal::KeyRefusal;
use crate::base::clock::{Seconds, UnixSeconds};
use crate::service::vault::error::VaultError;
use crate::service::vault::request::parse;
use crate::service::world::Period;
use crate::service::world::record::{KeyVersion, RotationPolicy, Trigger};

/// Shortest life of a version that a policy may set, 28 days.
const EXPIRY_MIN: Seconds = Seconds(28 * 86_400);

/// Shortest period of a trigger, and shortest distance from the other end of a version's life: 7 days.
const TRIGGER_MIN: Seconds = Seconds(7 * 86_400);

/// Days before the expiry at which a notification is due in a policy that does not say.
const NOTIFY_DAYS: u64 = 30;

/// A policy as requests and answers have it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Body {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    #[serde(default)]
    lifetime_actions: Vec<LifetimeAction>,
    #[serde(default)]
    attributes: Attributes,
}

#[derive(Serialize, Deserialize)]
struct LifetimeAction {
    trigger: TriggerBody,
    action: Action,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TriggerBody {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_after_create: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_before_expiry: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Action {
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attributes {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expiry_time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    created: Option<UnixSeconds>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updated: Option<UnixSeconds>,
}

const ROTATE: &str = "Rotate";
const NOTIFY: &str = "Notify";

/// Parses the body of a PUT, for a policy that is created at `now`.
pub(super) fn parse_policy(json: &[u8], now: UnixSeconds) -> Result<RotationPolicy, VaultError> {
    let body: Body = parse(json)?;
    let expiry = period_of(body.attributes.expiry_time)?;
    let (mut rotate, mut notify) = (None, None);
    for LifetimeAction { trigger, action } in body.lifetime_actions {
        let slot = if action.kind.eq_ignore_ascii_case(ROTATE) {
            &mut rotate
        } else if action.kind.eq_ignore_ascii_case(NOTIFY) {
            &mut notify
        } else {
            return Err(KeyRefusal::PolicyAction.into());
        };
        if slot.replace(trigger_of(trigger)?).is_some() {
            return Err(KeyRefusal::PolicyAction.into());
        }
    }
    let notify = notify.unwrap_or_else(usual_notification);
    if matches!(notify, Trigger::TimeAfterCreate(_)) {
        return Err(KeyRefusal::PolicyAction.into());
    }
    let policy = RotationPolicy { expiry, notify, rotate, created: now, updated: now };
    check(&policy)?;
    Ok(policy)
}

fn usual_notification() -> Trigger {
    Trigger::TimeBeforeExpiry(Period::of_days(NOTIFY_DAYS))
}

fn period_of(text: Option<String>) -> Result<Option<Period>, KeyRefusal> {
    // An empty text means none, as clients send it to remove an expiry.
    let text = text.filter(|text| !text.is_empty());
    text.map(|text| text.parse().map_err(|_| KeyRefusal::PolicyPeriod)).transpose()
}

fn trigger_of(body: TriggerBody) -> Result<Trigger, KeyRefusal> {
    match (period_of(body.time_after_create)?, period_of(body.time_before_expiry)?) {
        (Some(period), None) => Ok(Trigger::TimeAfterCreate(period)),
        (None, Some(period)) => Ok(Trigger::TimeBeforeExpiry(period)),
        _ => Err(KeyRefusal::PolicyAction),
    }
}

/// Checks the periods of a policy.
fn check(policy: &RotationPolicy) -> Result<(), KeyRefusal> {
    let life = policy.expiry.as_ref().map(Period::length);
    if life.is_some_and(|life| life < EXPIRY_MIN) {
        return Err(KeyRefusal::PolicyPeriod);
    }
    let Some(trigger) = &policy.rotate else { return Ok(()) };
    let (period, needs_expiry) = match trigger {
        Trigger::TimeAfterCreate(period) => (period.length(), false),
        Trigger::TimeBeforeExpiry(period) => (period.length(), true),
    };
    if needs_expiry && life.is_none() {
        return Err(KeyRefusal::PolicyWithoutExpiry);
    }
    let is_too_late = life.is_some_and(|life| period.0 + TRIGGER_MIN.0 > life.0);
    if period < TRIGGER_MIN || is_too_late { Err(KeyRefusal::PolicyPeriod) } else { Ok(()) }
}

/// Returns the answer that shows the policy of a key, or the policy of a key that has none.
pub(super) fn shown(policy: Option<&RotationPolicy>, id: String) -> impl Serialize {
    let action = |kind: &str, trigger: &Trigger| {
        let (time_after_create, time_before_expiry) = match trigger {
            Trigger::TimeAfterCreate(period) => (Some(period.to_string()), None),
            Trigger::TimeBeforeExpiry(period) => (None, Some(period.to_string())),
        };
        let trigger = TriggerBody { time_after_create, time_before_expiry };
        LifetimeAction { trigger, action: Action { kind: kind.to_owned() } }
    };
    let rotate = policy.and_then(|policy| policy.rotate.as_ref());
    let notify = policy.map_or_else(usual_notification, |policy| policy.notify.clone());
    let actions = rotate.map(|trigger| action(ROTATE, trigger));
    Body {
        id: Some(id),
        lifetime_actions: actions.into_iter().chain([action(NOTIFY, &notify)]).collect(),
        attributes: Attributes {
            expiry_time: policy.and_then(|policy| Some(policy.expiry.as_ref()?.to_string())),
            created: policy.map(|policy| policy.created),
            updated: policy.map(|policy| policy.updated),
        },
    }
}

/// Returns the expiry of a version that is made by rotation at `now`.
pub(super) fn expiry_of(policy: Option<&RotationPolicy>, now: UnixSeconds) -> Option<UnixSeconds> {
    Some(now + policy?.expiry.as_ref()?.length())
}

/// Returns true if the last version of a key is to be followed by another one at `now`.
pub(super) fn is_due(last: &KeyVersion, now: UnixSeconds) -> bool {
    let policy = last.content.rotation_policy.as_deref();
    let trigger = policy.and_then(|policy| policy.rotate.as_ref());
    last.enabled
        && match trigger {
            Some(Trigger::TimeAfterCreate(period)) => last.created + period.length() <= now,
            Some(Trigger::TimeBeforeExpiry(period)) => {
                last.expires.is_some_and(|expires| expires <= now + period.length())
            }
            None => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: UnixSeconds = UnixSeconds(1_700_000_000);

    fn read(json: &str) -> Result<RotationPolicy, KeyRefusal> {
        parse_policy(json.as_bytes(), NOW).map_err(|error| match error {
            VaultError::Key(refusal) => refusal,
            other => panic!("{json}: {other}"),
        })
    }

    fn with(actions: &str, expiry: &str) -> String {
        format!(r#"{{"lifetimeActions":[{actions}],"attributes":{{{expiry}}}}}"#)
    }

    #[test]
    fn a_policy_is_shown_as_it_was_set_with_a_notification_if_it_has_none() {
        let json = with(
            r#"{"trigger":{"timeAfterCreate":"P2M"},"action":{"type":"rotate"}}"#,
            r#""expiryTime":"P90D""#,
        );
        let policy = read(&json).unwrap();
        let shown = serde_json::to_string(&shown(Some(&policy), "ID".to_owned())).unwrap();
        assert_eq!(
            shown,
            r#"{"id":"ID","lifetimeActions":[{"trigger":{"timeAfterCreate":"P2M"},"action":{"type":"Rotate"}},{"trigger":{"timeBeforeExpiry":"P30D"},"action":{"type":"Notify"}}],"attributes":{"expiryTime":"P90D","created":1700000000,"updated":1700000000}}"#
        );
        assert_eq!(expiry_of(Some(&policy), NOW), Some(NOW + Seconds(90 * 86_400)));
        let none = serde_json::to_string(&super::shown(None, "ID".to_owned())).unwrap();
        assert!(none.contains("P30D") && none.ends_with(r#""attributes":{}}"#), "{none}");
    }

    #[test]
    fn policies_that_cannot_be_are_refused() {
        let rotate =
            |trigger: &str| format!(r#"{{"trigger":{{{trigger}}},"action":{{"type":"Rotate"}}}}"#);
        let (after, before) = (r#""timeAfterCreate":"P60D""#, r#""timeBeforeExpiry":"P30D""#);
        let notify = format!(r#"{{"trigger":{{{after}}},"action":{{"type":"Notify"}}}}"#);
        let (year, both) = (r#""expiryTime":"P1Y""#, format!("{after},{before}"));
        for (actions, expiry, expected) in [
            (rotate(after), "", None),
            (rotate(before), year, None),
            (String::new(), year, None),
            (rotate(before), "", Some(KeyRefusal::PolicyWithoutExpiry)),
            (rotate(&both), year, Some(KeyRefusal::PolicyAction)),
            (rotate(""), year, Some(KeyRefusal::PolicyAction)),
            (format!("{0},{0}", rotate(after)), year, Some(KeyRefusal::PolicyAction)),
            (notify, year, Some(KeyRefusal::PolicyAction)),
            (rotate(after).replace("Rotate", "Purge"), year, Some(KeyRefusal::PolicyAction)),
            (rotate(r#""timeAfterCreate":"P6D""#), year, Some(KeyRefusal::PolicyPeriod)),
            (rotate(r#""timeAfterCreate":"soon""#), year, Some(KeyRefusal::PolicyPeriod)),
            (rotate(r#""timeBeforeExpiry":"P1Y""#), year, Some(KeyRefusal::PolicyPeriod)),
            (rotate(after), r#""expiryTime":"P27D""#, Some(KeyRefusal::PolicyPeriod)),
            (rotate(after), r#""expiryTime":"P66D""#, Some(KeyRefusal::PolicyPeriod)),
        ] {
            assert_eq!(read(&with(&actions, expiry)).err(), expected, "{actions} {expiry}");
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_the_reader_panic(bytes: Vec<u8>) {
            let _ = parse_policy(&bytes, NOW);
        }
    }
}

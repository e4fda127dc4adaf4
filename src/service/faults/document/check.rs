//! Checks of a plan that its types cannot express.

use std::time::Duration;

use super::plan::{Endpoint, Fault, FaultPlan, Rule, SCHEMA};

/// Greatest number of rules. Each request looks at all of them.
const RULES_MAX: usize = 100;

/// Greatest number of names in one list.
const NAMES_MAX: usize = 100;

/// Longest delay of a slow answer.
const DELAY_MAX: Duration = Duration::from_hours(1);

/// Longest time between two pieces of an answer.
const EVERY_MAX: Duration = Duration::from_mins(1);

/// Returns everything that is wrong with a plan, each with its place and its remedy.
pub(super) fn faults_of(plan: &FaultPlan) -> Vec<String> {
    let mut said = Vec::new();
    if plan.schema != SCHEMA {
        said.push(format!(
            "schema: `{}` is not known; write {SCHEMA} or leave it out",
            plan.schema
        ));
    }
    if plan.rules.is_empty() {
        said.push(
            "rules: there is none; write one, or DELETE /faults to end all faults".to_owned(),
        );
    }
    if plan.rules.len() > RULES_MAX {
        let count = plan.rules.len();
        said.push(format!("rules: there are {count}; write {RULES_MAX} at most"));
    }
    for (position, rule) in plan.rules.iter().enumerate().take(RULES_MAX) {
        let of_rule = in_rule(rule).into_iter().flatten();
        said.extend(of_rule.map(|fault| format!("rules[{position}].{fault}")));
    }
    said
}

fn in_rule(rule: &Rule) -> [Option<String>; 7] {
    [
        names(rule),
        share(rule.share),
        times(rule),
        callers(rule),
        status(&rule.fault),
        delays(&rule.fault),
        place(rule),
    ]
}

fn names(rule: &Rule) -> Option<String> {
    let lists =
        [("vms", &rule.vms), ("identities", &rule.identities), ("resources", &rule.resources)];
    lists.into_iter().find_map(|(field, names)| {
        let has_empty = names.iter().any(|name| name.trim_end_matches('/').is_empty());
        if has_empty {
            return Some(format!("{field}: a name is empty; remove it, or the list for all"));
        }
        let count = names.len();
        (count > NAMES_MAX)
            .then(|| format!("{field}: there are {count}; write {NAMES_MAX} at most"))
    })
}

fn share(share: f64) -> Option<String> {
    let is_share = share > 0.0 && share <= 1.0;
    (!is_share).then(|| format!("share: {share} is no share; write a number above 0, up to 1"))
}

fn times(rule: &Rule) -> Option<String> {
    let (from, until) = (rule.from?, rule.until?);
    (from >= until).then(|| {
        let [from, until] = [from, until].map(String::from);
        format!("until: {until} is not after from = {from}; write a later time")
    })
}

/// Refuses machines where the endpoint does not know which machine calls.
fn callers(rule: &Rule) -> Option<String> {
    let is_unknown = matches!(rule.endpoint, Endpoint::Sts | Endpoint::Arm | Endpoint::Vault);
    (is_unknown && !rule.vms.is_empty()).then(|| {
        let endpoint = rule.endpoint.name();
        format!("vms: {endpoint} does not know which machine calls; write identities")
    })
}

fn status(fault: &Fault) -> Option<String> {
    let Fault::Status { status, .. } = fault else { return None };
    let is_known = (400..=599).contains(status);
    (!is_known).then(|| format!("fault.status: {status} is no refusal; write 400 to 599"))
}

fn delays(fault: &Fault) -> Option<String> {
    let (field, span, most) = match fault {
        Fault::Slow { delay } => ("delay", *delay, DELAY_MAX),
        Fault::Trickle { every, .. } => ("every", *every, EVERY_MAX),
        _ => return None,
    };
    (span.0 > most).then(|| {
        let (span, most) = (String::from(span), humantime::format_duration(most));
        format!("fault.{field}: {span} is too long; write {most} at most")
    })
}

/// Refuses faults that the endpoint cannot have.
fn place(rule: &Rule) -> Option<String> {
    let has_no_tokens =
        matches!(rule.endpoint, Endpoint::Arm | Endpoint::Vault | Endpoint::TokenSource);
    let (endpoint, kind) = (rule.endpoint.name(), rule.fault.kind());
    match rule.fault {
        Fault::Token { .. } if has_no_tokens => Some(format!(
            "fault.kind: {endpoint} gives clients no {kind}; write imds, app-service, vm-extension or sts as endpoint"
        )),
        Fault::Trickle { .. } if rule.endpoint == Endpoint::TokenSource => {
            Some(format!("fault.kind: {endpoint} has no {kind}; write slow"))
        }
        _ => None,
    }
}

//! `mintbench vm`: virtual machines and their identities.

use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};

use super::args::{Connection, GroupArg, SubscriptionArg, Traits};
use super::client::{ControlError, Session, text};
use super::render::Output;
use super::resource::{IDENTITY, VM, group_in, last, shown_tags};
use crate::service::world::Address;

/// The tag with the source address of a machine.
pub(super) const ADDRESS_TAG: &str = "mintbench-address";

/// Virtual machines.
#[derive(Debug, Args)]
pub(crate) struct VmArgs {
    #[command(flatten)]
    pub(super) connection: Connection,
    #[command(flatten)]
    pub(super) subscription: SubscriptionArg,
    #[command(flatten)]
    group: GroupArg,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Add identities to a machine; it keeps its other identities
    Assign {
        /// Name or resource id of the machine
        name: String,
        #[command(flatten)]
        identities: Identities,
    },
    /// Create a machine
    Create {
        /// Name of the machine
        name: String,
        /// Source address of its requests, such as 127.0.0.5; `any` is every address that no other
        /// machine has or had last [default: none: no program can call as this machine]
        #[arg(long, value_name = "IP|any")]
        address: Option<Address>,
        #[command(flatten)]
        identities: Identities,
        #[command(flatten)]
        traits: Traits,
    },
    /// List the machines
    List,
    /// Remove a machine and its system-assigned identity
    Remove {
        /// Name or resource id of the machine
        name: String,
    },
    /// Show a machine
    Show {
        /// Name or resource id of the machine
        name: String,
    },
    /// Remove identities from a machine
    Unassign {
        /// Name or resource id of the machine
        name: String,
        #[command(flatten)]
        identities: Identities,
    },
    /// Change the source address of a machine
    Update {
        /// Name or resource id of the machine
        name: String,
        #[command(flatten)]
        address: NewAddress,
    },
}

#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
struct NewAddress {
    /// New source address, such as 127.0.0.5; `any` is every address that no other machine has or had last
    #[arg(long, value_name = "IP|any")]
    address: Option<Address>,
    /// Remove the address: no program can call as this machine
    #[arg(long)]
    no_address: bool,
}

#[derive(Clone, Debug, Default, Args)]
struct Identities {
    /// System-assigned identity of the machine
    #[arg(long)]
    system_assigned: bool,
    /// User-assigned identity, by name or resource id; may be repeated
    #[arg(long, value_name = "NAME|ID")]
    identity: Vec<String>,
}

impl VmArgs {
    pub(super) fn run(&self, session: &Session) -> Result<Output, ControlError> {
        let group = self.group.group.as_deref();
        match &self.verb {
            Verb::Assign { name, identities } => {
                identities.must_name_one(name)?;
                let vm = session.find(&VM, name, group)?;
                let wanted = identities.resolve(session)?;
                change(session, &vm, &Held::by(&vm).with(&wanted))
            }
            Verb::Create { name, address, identities, traits } => {
                session.must_be_new(&VM, name, group)?;
                let wanted = identities.resolve(session)?;
                let identity = Held::default().with(&wanted);
                let mut traits = traits.clone();
                traits.tag.extend(address.map(|own| (ADDRESS_TAG.to_owned(), own.to_string())));
                let body =
                    [("identity".to_owned(), identity), ("properties".to_owned(), json!({}))];
                session.put(&VM, name, group, &traits, Map::from_iter(body)).map(record)
            }
            Verb::List => Ok(list(session.all(&VM, group)?)),
            Verb::Remove { name } => session.remove(&VM, name, group),
            Verb::Show { name } => session.find(&VM, name, group).map(record),
            Verb::Unassign { name, identities } => {
                identities.must_name_one(name)?;
                let vm = session.find(&VM, name, group)?;
                let left = Held::by(&vm).without(identities)?;
                change(session, &vm, &left)
            }
            Verb::Update { name, address } => {
                let vm = session.find(&VM, name, group)?;
                let body = json!({ "tags": readdressed(&vm, address.address) });
                session.patch(&VM, text(&vm, "/id"), &body).map(record)
            }
        }
    }
}

/// Returns the tags of a machine with this address in place of its old one. Tags are always written as a
/// whole.
fn readdressed(vm: &Value, address: Option<Address>) -> Map<String, Value> {
    let tags = vm.get("tags").and_then(Value::as_object).cloned().unwrap_or_default();
    let others = tags.into_iter().filter(|(name, _)| !name.eq_ignore_ascii_case(ADDRESS_TAG));
    others.chain(address.map(|own| (ADDRESS_TAG.to_owned(), own.to_string().into()))).collect()
}

fn change(session: &Session, vm: &Value, identity: &Value) -> Result<Output, ControlError> {
    let body = json!({ "identity": identity });
    session.patch(&VM, text(vm, "/id"), &body).map(record)
}

impl Identities {
    fn must_name_one(&self, vm: &str) -> Result<(), ControlError> {
        if self.system_assigned || !self.identity.is_empty() {
            return Ok(());
        }
        let remedy = "say which identities: --system-assigned, or --identity NAME, or both";
        Err(ControlError::Idle { name: vm.to_owned(), remedy })
    }

    /// Looks up the named identities. An identity may lie in another group than the machine.
    fn resolve(&self, session: &Session) -> Result<Held, ControlError> {
        let ids = self.identity.iter().map(|name| session.id_of(&IDENTITY, name, None));
        Ok(Held {
            system_assigned: self.system_assigned,
            user_assigned: ids.collect::<Result<_, _>>()?,
        })
    }
}

/// The identities of a machine, as in its `identity` property.
#[derive(Debug, Default, PartialEq, Eq)]
struct Held {
    system_assigned: bool,
    /// Resource ids of user-assigned identities.
    user_assigned: Vec<String>,
}

impl Held {
    fn by(vm: &Value) -> Self {
        let user_assigned =
            vm.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
        Self {
            system_assigned: text(vm, "/identity/type").contains("SystemAssigned"),
            user_assigned: user_assigned.into_iter().flatten().map(|(id, _)| id.clone()).collect(),
        }
    }

    /// Returns the `type` of the property.
    const fn kind(&self) -> &'static str {
        match (self.system_assigned, self.user_assigned.is_empty()) {
            (true, false) => "SystemAssigned, UserAssigned",
            (true, true) => "SystemAssigned",
            (false, false) => "UserAssigned",
            (false, true) => "None",
        }
    }

    /// Returns the `identity` to send so that the machine holds these identities as well. The server merges
    /// the dictionary with the existing one, but not the type: the type must name every kind that stays.
    fn with(&self, more: &Self) -> Value {
        let user_assigned = [self.user_assigned.as_slice(), more.user_assigned.as_slice()].concat();
        let system_assigned = self.system_assigned || more.system_assigned;
        let kind = Self { system_assigned, user_assigned }.kind();
        entries(kind, more.user_assigned.iter().map(|id| (id, json!({}))))
    }

    /// Returns the `identity` to send so that the machine no longer holds these identities. The entries to
    /// remove are null. The types `SystemAssigned` and `None` allow no entries and drop all of them.
    fn without(&self, leaving: &Identities) -> Result<Value, ControlError> {
        let mut gone = Vec::new();
        for name in &leaving.identity {
            gone.push(self.own(name)?);
        }
        let left = self.user_assigned.iter().filter(|id| !gone.contains(id)).cloned().collect();
        let left = Self {
            system_assigned: self.system_assigned && !leaving.system_assigned,
            user_assigned: left,
        };
        gone.retain(|_| !left.user_assigned.is_empty());
        Ok(entries(left.kind(), gone.into_iter().map(|id| (id, Value::Null))))
    }

    /// Returns the held id that is called `name`. The identity itself may be deleted already.
    fn own(&self, name: &str) -> Result<&String, ControlError> {
        let is_named = |id: &&String| {
            let own = if name.starts_with('/') { id } else { last(id) };
            own.eq_ignore_ascii_case(name)
        };
        match self.user_assigned.iter().filter(is_named).collect::<Vec<_>>().as_slice() {
            [one] => Ok(one),
            [] => Err(ControlError::NotFound {
                noun: "identity",
                name: name.to_owned(),
                place: " among those of the machine",
                remedy: "see what it holds with `mintbench vm show`".to_owned(),
            }),
            several => Err(ControlError::Ambiguous {
                name: name.to_owned(),
                ids: several.iter().map(|id| (*id).clone()).collect(),
            }),
        }
    }
}

/// Builds an `identity` property. Without entries, it has no dictionary.
fn entries<'a>(kind: &str, entries: impl Iterator<Item = (&'a String, Value)>) -> Value {
    let entries: Map<_, _> = entries.map(|(id, value)| (id.clone(), value)).collect();
    if entries.is_empty() {
        return json!({ "type": kind });
    }
    json!({ "type": kind, "userAssignedIdentities": entries })
}

fn list(all: Vec<Value>) -> Output {
    let header = ["NAME", "GROUP", "ADDRESS", "SYSTEM ASSIGNED", "USER ASSIGNED"];
    Output::rows(all, header, |vm| {
        let held = Held::by(vm);
        let names: Vec<&str> = held.user_assigned.iter().map(|id| last(id)).collect();
        [
            text(vm, "/name").to_owned(),
            group_in(text(vm, "/id")),
            address(vm),
            text(vm, "/identity/principalId").to_owned(),
            names.join(" "),
        ]
    })
}

fn address(vm: &Value) -> String {
    text(vm, &format!("/tags/{ADDRESS_TAG}")).to_owned()
}

fn record(vm: Value) -> Output {
    let field = |pointer| text(&vm, pointer).to_owned();
    let mut fields = vec![
        ("name", field("/name")),
        ("id", field("/id")),
        ("location", field("/location")),
        ("address", address(&vm)),
        ("vm id", field("/properties/vmId")),
        ("identities", field("/identity/type")),
        ("principal id", field("/identity/principalId")),
    ];
    let user_assigned = vm.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
    fields.extend(user_assigned.into_iter().flatten().map(|(id, ids)| {
        let client_id = match text(ids, "/clientId") {
            "" => "removed".to_owned(),
            id => format!("client id {id}"),
        };
        ("user assigned", format!("{id} ({client_id})"))
    }));
    fields.push(("tags", shown_tags(&vm)));
    Output::record(vm, fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> String {
        format!("/subscriptions/s/resourceGroups/g/providers/p/userAssignedIdentities/{name}")
    }

    /// Creates held identities with these names. `system` is the machine's own identity.
    fn held(names: &[&str]) -> Held {
        let Identities { system_assigned, identity } = leaving(names);
        let user_assigned = identity.iter().map(|name| id(name)).collect();
        Held { system_assigned, user_assigned }
    }

    fn leaving(names: &[&str]) -> Identities {
        let (system, user): (Vec<&str>, Vec<&str>) =
            names.iter().partition(|name| **name == "system");
        Identities {
            system_assigned: !system.is_empty(),
            identity: user.into_iter().map(str::to_owned).collect(),
        }
    }

    #[test]
    fn an_assignment_names_the_kinds_that_stay_and_the_identities_that_come() {
        assert_eq!(
            held(&["system", "a"]).with(&held(&["b"])),
            json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id("b"): {} } })
        );
        let system = held(&["system"]);
        assert_eq!(held(&[]).with(&system), json!({ "type": "SystemAssigned" }));
        assert_eq!(held(&["a"]).with(&system), json!({ "type": "SystemAssigned, UserAssigned" }));
        assert_eq!(held(&[]).with(&held(&[])), json!({ "type": "None" }));
    }

    #[test]
    fn what_is_taken_away_is_null_unless_nothing_of_its_kind_is_left() {
        assert_eq!(
            held(&["system", "a", "b"]).without(&leaving(&["system", "B"])).unwrap(),
            json!({ "type": "UserAssigned", "userAssignedIdentities": { id("b"): null } })
        );
        assert_eq!(
            held(&["system", "a"]).without(&leaving(&["a"])).unwrap(),
            json!({ "type": "SystemAssigned" })
        );
        assert_eq!(held(&["a"]).without(&leaving(&[&id("a")])).unwrap(), json!({ "type": "None" }));
        assert_eq!(
            held(&["system", "a"]).without(&leaving(&["system"])).unwrap(),
            json!({ "type": "UserAssigned" })
        );
    }

    #[test]
    fn an_identity_that_the_machine_does_not_hold_cannot_be_taken_from_it() {
        let refused = held(&["system", "a"]).without(&leaving(&["c"])).unwrap_err();
        let expected = "no identity is called `c` among those of the machine";
        assert_eq!(refused.to_string(), expected);
    }

    #[test]
    fn another_address_leaves_the_other_tags_as_they_are() {
        let vm = json!({ "tags": { "Mintbench-Address": "127.0.0.5", "env": "test" } });
        let tags = |address: Option<&str>| {
            Value::Object(readdressed(&vm, address.map(|text| text.parse().unwrap())))
        };
        assert_eq!(tags(Some("any")), json!({ "env": "test", "mintbench-address": "any" }));
        assert_eq!(tags(None), json!({ "env": "test" }));
        assert!(readdressed(&json!({}), None).is_empty());
    }

    #[test]
    fn what_a_machine_holds_is_read_from_its_resource() {
        let vm = json!({ "identity": {
            "type": "SystemAssigned, UserAssigned",
            "userAssignedIdentities": { id("a"): { "clientId": "c", "principalId": "p" } },
        } });
        assert_eq!(Held::by(&vm), held(&["system", "a"]));
        assert_eq!(Held::by(&json!({ "identity": { "type": "None" } })), held(&[]));
        assert_eq!(Held::by(&json!({})), held(&[]));
    }
}

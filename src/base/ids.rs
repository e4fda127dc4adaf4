//! Identifiers: GUIDs of the directory and resource ids of Azure Resource Manager.
//!
//! `FromStr` is the only way to parse an id, so every id is well-formed. This module depends on no other.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// Length of the text of a GUID.
pub const GUID_CHARS: usize = Hyphenated::LENGTH;

/// Reason why a text is not an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseIdError {
    /// The text is not a GUID in the 8-4-4-4-12 form.
    #[error("`{0}` is not a GUID; write it as 8-4-4-4-12 hexadecimal digits")]
    Guid(String),
    /// The text is not an Azure resource id.
    #[error(
        "`{0}` is not a resource id; write it as /subscriptions/<id>/resourceGroups/<name>/providers/<namespace>/<type>/<name>"
    )]
    Arm(String),
}

/// Serializes an identifier as its text.
macro_rules! serde_as_text {
    ($name:ident) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_as_text;

macro_rules! guid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps 16 bytes unchanged.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes, most significant first.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Writes the text to `buffer` and returns it.
            pub fn encode<'a>(&self, buffer: &'a mut [u8; GUID_CHARS]) -> &'a str {
                self.0.hyphenated().encode_lower(buffer)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            /// Parses the hyphenated form only, in any letter case.
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                let guid = (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten();
                guid.map(Self).ok_or_else(|| ParseIdError::Guid(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0.hyphenated())
            }
        }

        serde_as_text!($name);
    };
}

guid_id! {
    /// A directory tenant (`tid`).
    TenantId
}
guid_id! {
    /// An Azure subscription.
    SubscriptionId
}
guid_id! {
    /// The application id of an identity (`appid`, `client_id`).
    ClientId
}
guid_id! {
    /// The object id of a service principal (`oid`, `object_id`, `principalId`).
    PrincipalId
}

guid_id! {
    /// A virtual machine's own id (`vmId`). It outlives the machine's name: a new machine of the same name
    /// gets another id.
    VmId
}
guid_id! {
    /// A role definition, the `name` of its ARM resource. Built-in roles have the same id in every tenant.
    RoleDefinitionId
}
guid_id! {
    /// A role assignment, the `name` of its ARM resource. Its creator chooses it.
    RoleAssignmentId
}

/// A resource id of Azure Resource Manager.
///
/// Azure compares these ids without regard to letter case and returns them as first written. So equality,
/// order and hashing ignore ASCII case, and `Display` returns the stored spelling. Cloning shares the text.
#[derive(Clone)]
pub struct ArmId(Arc<str>);

serde_as_text!(ArmId);

/// Bytes of an id that are compared or hashed at once.
const PIECE: usize = 16;

impl ArmId {
    /// Returns the original spelling.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the last segment, the resource's own name.
    pub fn name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or_default()
    }

    /// Returns the segment after `key`, as in `/subscriptions/<value>`. The case of keys is ignored.
    pub fn segment(&self, key: &str) -> Option<&str> {
        let mut segments = self.0.split('/').skip(1);
        while let (Some(name), Some(value)) = (segments.next(), segments.next()) {
            if name.eq_ignore_ascii_case(key) {
                return Some(value);
            }
        }
        None
    }

    /// Returns the subscription of the resource. Every resource id begins with one.
    pub fn subscription(&self) -> SubscriptionId {
        // After `/subscriptions/`, in any case.
        const GUID: std::ops::Range<usize> = 15..51;
        let id = self.0.get(GUID).and_then(|id| id.parse().ok());
        id.unwrap_or(SubscriptionId::from_bytes([0; 16]))
    }

    /// Returns the name of the resource group that the id is or lies in.
    pub fn resource_group(&self) -> Option<&str> {
        self.segment("resourceGroups")
    }

    /// Returns true if the id lies below `parent`: a group, a subscription or a resource.
    pub fn is_below(&self, parent: &Self) -> bool {
        let parent = parent.0.as_bytes();
        let head = self.0.as_bytes().split_at_checked(parent.len());
        head.is_some_and(|(head, rest)| {
            head.eq_ignore_ascii_case(parent) && rest.first() == Some(&b'/')
        })
    }

    /// Returns the lower bound of the ids below this one, for a search. The bound itself is not a valid id.
    pub(crate) fn first_below(&self) -> Self {
        Self(format!("{}/", self.0).into())
    }

    /// Returns the id in lower case: the same text for all spellings of one id.
    pub fn to_key(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl FromStr for ArmId {
    type Err = ParseIdError;

    /// Parses `/key/value` pairs below `/subscriptions/<guid>`, at most 2048 printable bytes.
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        if is_arm_id(text) {
            Ok(Self(text.into()))
        } else {
            Err(ParseIdError::Arm(text.to_owned()))
        }
    }
}

fn is_arm_id(text: &str) -> bool {
    const MAX_LEN: usize = 2048; // Azure's own bound on a resource id in a URL.
    let Some(path) = text.strip_prefix('/') else { return false };
    let mut segments = path.split('/');
    text.len() <= MAX_LEN
        && segments.next().is_some_and(|root| root.eq_ignore_ascii_case("subscriptions"))
        && segments.next().is_some_and(|id| SubscriptionId::from_str(id).is_ok())
        && segments.all(|segment| !segment.is_empty() && segment.bytes().all(is_segment_byte))
}

fn is_segment_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'(' | b')')
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ArmId {}

impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.0.as_bytes(), other.0.as_bytes());
        // Most ids begin alike and are spelled alike.
        let pieces = left.chunks_exact(PIECE).zip(right.chunks_exact(PIECE));
        let same = PIECE * pieces.take_while(|(left, right)| left == right).count();
        let [left, right] = [left, right].map(|id| id.get(same..).unwrap_or_default().iter());
        left.map(u8::to_ascii_lowercase).cmp(right.map(u8::to_ascii_lowercase))
    }
}

impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl std::hash::Hash for ArmId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        for piece in self.0.as_bytes().chunks(PIECE) {
            // The rest is 0, which is in no id.
            let mut lower = [0; PIECE];
            lower.iter_mut().zip(piece).for_each(|(to, from)| *to = from.to_ascii_lowercase());
            state.write(&lower);
        }
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ArmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ArmId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::hash::BuildHasher as _;

    const VM: &str = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/rg/providers/Microsoft.Compute/virtualMachines/vm-1";

    #[test]
    fn resource_ids_compare_without_case_and_echo_their_spelling() {
        let written: ArmId = VM.parse().unwrap();
        let lower: ArmId = VM.to_lowercase().parse().unwrap();
        assert_eq!(written, lower);
        assert_eq!(written.to_string(), VM);
        assert_eq!(written.name(), "vm-1");
    }

    #[test]
    fn what_lies_below_an_id_is_told_by_whole_segments() {
        let [group, other, vm, longer] =
            ["rg", "rg-2", "rg/providers/x/y/z", "RG-2/providers/x/y/z"]
                .map(|end| {
                    format!(
                        "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/{end}"
                    )
                })
                .map(|id| id.parse::<ArmId>().unwrap());
        assert!(vm.is_below(&group) && longer.is_below(&other));
        assert!(!longer.is_below(&group) && !group.is_below(&group));
        assert!(group.first_below() < vm && group < other);
        assert_eq!(vm.resource_group(), Some("rg"));
    }

    #[test]
    fn malformed_resource_ids_are_refused() {
        for text in [
            "",
            "/",
            "subscriptions/x",
            "/subscriptions/nope/resourceGroups/rg",
            &format!("{VM}/"),
            &format!("{VM}/a b"),
        ] {
            assert!(text.parse::<ArmId>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_the_hyphenated_form_is_a_guid() {
        assert!("00000000-0000-0000-0000-00000000000A".parse::<ClientId>().is_ok());
        for text in
            ["", "0", "0000000000000000000000000000000a", "{00000000-0000-0000-0000-00000000000a}"]
        {
            assert!(text.parse::<ClientId>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn ids_have_the_order_and_the_hash_of_their_lower_case(
            left in "/[aA]{0,20}[a-cA-C]{0,20}",
            right in "/[aA]{0,20}[a-cA-C]{0,20}",
        ) {
            let root = "/subscriptions/00000000-0000-0000-0000-000000000001";
            let [left, right] = [left, right].map(|end| format!("{root}{end}0"));
            let [one, other] = [&left, &right].map(|text| text.parse::<ArmId>().unwrap());
            let order = left.to_lowercase().cmp(&right.to_lowercase());
            prop_assert_eq!(one.cmp(&other), order);
            let hash = foldhash::fast::FixedState::default();
            let [one, other] = [one, other].map(|id| hash.hash_one(id));
            prop_assert_eq!(one == other, order.is_eq());
        }

        #[test]
        fn guids_round_trip(bytes: [u8; 16]) {
            let id = PrincipalId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<PrincipalId>().unwrap(), id);
        }

        #[test]
        fn parsing_a_resource_id_never_panics_and_round_trips(text in "\\PC{0,80}") {
            if let Ok(id) = text.parse::<ArmId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }
}

//! Synthetic worlds for load tests, made from three numbers. Any item can be computed without building the
//! world.
//!
//! The broker builds the whole world. The harness computes single items, so it knows which identity a VM may
//! use without asking the broker that it measures.

use std::net::Ipv4Addr;
use std::str::FromStr;

use crate::base::ids::{ArmId, ClientId, PrincipalId, SubscriptionId, TenantId};

/// The shape of a synthetic world. Equal shapes give equal worlds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Synthetic {
    /// Virtual machines, each with its own address and system-assigned identity.
    pub vms: u32,
    /// User-assigned identities of each VM. VMs do not share them.
    pub user_assigned: u32,
    /// Seed of all random values.
    pub seed: u64,
}

/// Reason why a synthetic world cannot be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SyntheticError {
    /// Not `name=number` pairs of known names.
    #[error("`{0}` is not a synthetic world; write vms=N[,user-assigned=K][,seed=S]")]
    Syntax(String),
    /// A number is out of range.
    #[error("{name}={value} is out of range; use {min} to {max}")]
    Range {
        /// Name of the number.
        name: &'static str,
        /// Requested value.
        value: u64,
        /// Smallest accepted value.
        min: u64,
        /// Largest accepted value.
        max: u64,
    },
}

/// The public ids of one identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct IdentityIds {
    /// `appid` of its tokens, `client_id` at IMDS.
    pub client_id: ClientId,
    /// `oid` and `sub` of its tokens, `object_id` at IMDS.
    pub principal_id: PrincipalId,
}

impl Synthetic {
    /// Largest number of VMs: 127.1.0.1 plus this number stays inside 127.0.0.0/8 and below its broadcast
    /// address.
    pub const VMS_MAX: u32 = 16_000_000;
    /// Limit of IMDS for one VM.
    pub const USER_ASSIGNED_MAX: u32 = 1000;
    /// Limit that keeps an index of an identity within 32 bits.
    pub const IDENTITIES_MAX: u64 = 100_000_000;

    /// Returns the tenant of all identities.
    pub fn tenant_id(&self) -> TenantId {
        TenantId::from_bytes(self.guid(b"tenant", 0, 0))
    }

    /// Returns the subscription of all resources.
    pub fn subscription_id(&self) -> SubscriptionId {
        SubscriptionId::from_bytes(self.guid(b"subscription", 0, 0))
    }

    /// Returns the source address of VM number `vm`: 127.1.0.1 and up.
    pub fn address(&self, vm: u32) -> Ipv4Addr {
        Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(127, 1, 0, 1)).saturating_add(vm))
    }

    /// Returns the system-assigned identity of VM number `vm`.
    pub fn system_assigned(&self, vm: u32) -> IdentityIds {
        self.identity(vm, 0)
    }

    /// Returns user-assigned identity number `index`, from 0, of VM number `vm`.
    pub fn user_assigned(&self, vm: u32, index: u32) -> IdentityIds {
        self.identity(vm, index.saturating_add(1))
    }

    fn identity(&self, vm: u32, slot: u32) -> IdentityIds {
        IdentityIds {
            client_id: ClientId::from_bytes(self.guid(b"client", vm, slot)),
            principal_id: PrincipalId::from_bytes(self.guid(b"principal", vm, slot)),
        }
    }

    /// Returns the name of VM number `vm`.
    pub fn vm_name(&self, vm: u32) -> String {
        format!("vm-{vm}")
    }

    /// Returns the resource id of VM number `vm`.
    ///
    /// # Errors
    /// Never fails for these names. `FromStr` requires the type.
    pub fn vm_id(&self, vm: u32) -> Result<ArmId, crate::base::ids::ParseIdError> {
        let subscription = self.subscription_id();
        let name = self.vm_name(vm);
        format!("/subscriptions/{subscription}/resourceGroups/synthetic/providers/Microsoft.Compute/virtualMachines/{name}").parse()
    }

    /// Returns the resource id of user-assigned identity number `index` of VM number `vm`.
    ///
    /// # Errors
    /// Never fails for these names. `FromStr` requires the type.
    pub fn user_assigned_id(
        &self,
        vm: u32,
        index: u32,
    ) -> Result<ArmId, crate::base::ids::ParseIdError> {
        let subscription = self.subscription_id();
        format!("/subscriptions/{subscription}/resourceGroups/synthetic/providers/Microsoft.ManagedIdentity/userAssignedIdentities/id-{vm}-{index}").parse()
    }

    /// Returns a GUID that depends on the seed, a kind and two indices.
    fn guid(&self, kind: &[u8], vm: u32, slot: u32) -> [u8; 16] {
        guid_of(absorb(self.seed, kind), (u64::from(vm) << 32) | u64::from(slot))
    }
}

/// Returns a GUID that depends on `name` alone.
pub(crate) fn named_guid(name: &str) -> [u8; 16] {
    guid_of(absorb(0, name.as_bytes()), 0)
}

/// Returns a number from 0 up to, but not including, 1 that depends on the seed, the name and the index alone.
#[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
pub(crate) fn draw(seed: u64, name: &[u8], index: u64) -> f64 {
    const BITS: u32 = 53;
    (mix(absorb(seed, name) ^ mix(index)) >> (u64::BITS - BITS)) as f64 / (1_u64 << BITS) as f64
}

fn absorb(seed: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(seed, |hash, byte| mix(hash ^ u64::from(*byte)))
}

/// Returns a version 8 GUID (RFC 9562): `SplitMix64` over a tag and an index.
fn guid_of(tag: u64, index: u64) -> [u8; 16] {
    let (high, low) = (mix(tag ^ index), mix(tag.wrapping_add(mix(index))));
    let bits = (u128::from(high) << 64) | u128::from(low);
    *uuid::Builder::from_custom_bytes(bits.to_be_bytes()).as_uuid().as_bytes()
}

/// The finaliser of `SplitMix64` (Steele, Lea, Flood 2014): a bijection that spreads nearby inputs.
const fn mix(input: u64) -> u64 {
    let x = input.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

impl FromStr for Synthetic {
    type Err = SyntheticError;

    fn from_str(text: &str) -> Result<Self, SyntheticError> {
        let mut world = Self { vms: 1, user_assigned: 0, seed: 1 };
        let mut seen = Vec::new();
        for pair in text.split(',') {
            let syntax = || SyntheticError::Syntax(text.to_owned());
            let (name, value) = pair.split_once('=').ok_or_else(syntax)?;
            let value: u64 = value.trim().parse().map_err(|_| syntax())?;
            if seen.contains(&name.trim()) {
                return Err(syntax());
            }
            seen.push(name.trim());
            match name.trim() {
                "vms" => world.vms = in_range("vms", value, 1, Self::VMS_MAX)?,
                "user-assigned" => {
                    world.user_assigned =
                        in_range("user-assigned", value, 0, Self::USER_ASSIGNED_MAX)?;
                }
                "seed" => world.seed = value,
                _ => return Err(syntax()),
            }
        }
        world.bounded()
    }
}

impl Synthetic {
    fn bounded(self) -> Result<Self, SyntheticError> {
        let identities = u64::from(self.vms) * (u64::from(self.user_assigned) + 1);
        if identities > Self::IDENTITIES_MAX {
            return Err(SyntheticError::Range {
                name: "vms x (1 + user-assigned)",
                value: identities,
                min: 1,
                max: Self::IDENTITIES_MAX,
            });
        }
        Ok(self)
    }
}

fn in_range(name: &'static str, value: u64, min: u32, max: u32) -> Result<u32, SyntheticError> {
    let range = SyntheticError::Range { name, value, min: min.into(), max: max.into() };
    u32::try_from(value).ok().filter(|value| (min..=max).contains(value)).ok_or(range)
}

impl std::fmt::Display for Synthetic {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "vms={},user-assigned={},seed={}", self.vms, self.user_assigned, self.seed)
    }
}

/// Resources that every world knows: valid audiences of tokens.
pub const WELL_KNOWN_RESOURCES: [&str; 5] = [
    "https://management.azure.com/",
    "https://management.core.windows.net/",
    "https://vault.azure.net",
    "https://storage.azure.com/",
    "https://graph.microsoft.com/",
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn equal_shapes_are_equal_worlds_and_seeds_differ() {
        let a = Synthetic { vms: 10, user_assigned: 2, seed: 1 };
        let b = Synthetic { seed: 2, ..a };
        assert_eq!(a.system_assigned(3), a.system_assigned(3));
        assert_ne!(a.system_assigned(3), b.system_assigned(3));
    }

    #[test]
    fn no_two_ids_of_a_world_are_equal() {
        let world = Synthetic { vms: 2000, user_assigned: 3, seed: 7 };
        let mut seen = HashSet::new();
        for vm in 0..world.vms {
            for slot in 0..=world.user_assigned {
                let ids = world.identity(vm, slot);
                assert!(seen.insert(*ids.client_id.as_bytes()));
                assert!(seen.insert(*ids.principal_id.as_bytes()));
            }
        }
    }

    #[test]
    fn addresses_are_loopback_and_distinct() {
        let world = Synthetic { vms: Synthetic::VMS_MAX, user_assigned: 0, seed: 1 };
        assert_eq!(world.address(0), Ipv4Addr::new(127, 1, 0, 1));
        assert!(world.address(Synthetic::VMS_MAX - 1).is_loopback());
    }

    #[test]
    fn the_text_form_round_trips_and_refuses_nonsense() {
        let world: Synthetic = "vms=1000,user-assigned=2".parse().unwrap();
        assert_eq!(world, Synthetic { vms: 1000, user_assigned: 2, seed: 1 });
        assert_eq!(world.to_string().parse(), Ok(world));
        for text in [
            "",
            "vms",
            "vms=0",
            "vms=1,vms=2",
            "vms=x",
            "vm=1",
            "vms=99999999999",
            "vms=16000000,user-assigned=1000",
        ] {
            assert!(text.parse::<Synthetic>().is_err(), "{text}");
        }
    }
}

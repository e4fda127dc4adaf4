//! Keys, issuers, tokens and brokers like those of a running server.

use std::num::NonZeroUsize;
use std::sync::Arc;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, RsaKeyPair,
};
use mintbench::base::clock::{ManualClock, Seconds, UnixSeconds};
use mintbench::base::ids::{ArmId, ClientId, PrincipalId, TenantId};
use mintbench::base::secret::Redacted;
use mintbench::base::synthetic::Synthetic;
use mintbench::service::broker::{Broker, BrokerOptions};
use mintbench::service::directory::{
    CredentialOptions, Directory, DirectoryError, DirectoryOptions, SigningOptions,
};
use mintbench::service::store::MemoryStore;
use mintbench::service::token::{
    Algorithm, ClientProof, Issuer, KeyMaterial, KeyRing, SigningKey, Subject, Token, TokenSource,
};
use mintbench::service::world::Throttle;

use super::NOW;

/// The resource that tokens are requested for.
pub(crate) const RESOURCE: &str = "https://management.azure.com/";

const LIFETIME: Seconds = Seconds(86_400);

/// Returns a private key that every library can read.
pub(crate) fn pkcs8(algorithm: Algorithm) -> Redacted {
    let rng = SystemRandom::new();
    Redacted::new(match algorithm {
        Algorithm::EdDsa => Ed25519KeyPair::generate_pkcs8(&rng).unwrap().as_ref().to_vec(),
        Algorithm::Es256 => EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &rng)
            .unwrap()
            .as_ref()
            .to_vec(),
        Algorithm::Rs256 => {
            let key = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
            AsDer::<Pkcs8V1Der<'_>>::as_der(&key).unwrap().as_ref().to_vec()
        }
    })
}

/// Returns an issuer of tokens that live for a day.
pub(crate) fn issuer(algorithm: Algorithm, pkcs8: &Redacted) -> Issuer {
    let key = KeyMaterial::certify(algorithm, pkcs8.clone(), NOW)
        .and_then(|material| SigningKey::new(&material))
        .unwrap();
    Issuer::new(Arc::new(KeyRing::of(key)), LIFETIME)
}

/// Returns the id of a VM, which has a system-assigned identity.
pub(crate) fn resource_id() -> ArmId {
    Synthetic { vms: 1, user_assigned: 0, seed: 1 }.vm_id(0).unwrap()
}

/// Mints a token of `resource_id` for [`RESOURCE`].
pub(crate) fn mint(issuer: &Issuer, resource_id: &ArmId) -> Token {
    let subject = Subject {
        tenant_id: TenantId::from_bytes([1; 16]),
        tenant_created: UnixSeconds(7),
        client_id: ClientId::from_bytes([2; 16]),
        principal_id: PrincipalId::from_bytes([3; 16]),
        resource_id: Some(resource_id),
        caller_id: None,
        proof: ClientProof::Certificate,
    };
    issuer.mint(&subject, RESOURCE, NOW, &[9; 48]).unwrap()
}

/// Returns a token as Azure issues them: RS256.
pub(crate) fn rs256_token() -> Token {
    let pkcs8 = pkcs8(Algorithm::Rs256);
    mint(&issuer(Algorithm::Rs256, &pkcs8), &resource_id())
}

/// Starts a broker with one mint lane for a synthetic world.
pub(crate) fn broker(world: &Synthetic, algorithm: Algorithm, cache_entries: usize) -> Broker {
    let issuer = issuer(algorithm, &pkcs8(algorithm));
    let options = BrokerOptions {
        cache_entries: NonZeroUsize::new(cache_entries).unwrap(),
        mint_lanes: NonZeroUsize::MIN,
        mint_queue: NonZeroUsize::new(100).unwrap(),
        refresh_fraction: 0.5,
        seed: [7; 32],
    };
    let directory = Arc::new(directory(world));
    Broker::start(directory, Arc::new(issuer), Arc::new(ManualClock::new(NOW)), &options).unwrap()
}

fn directory(world: &Synthetic) -> Directory {
    let options = DirectoryOptions {
        propagation_delay: Seconds(0),
        seed: [7; 32],
        signing: SigningOptions {
            algorithm: Algorithm::EdDsa, // the broker above brings keys of its own
            token_lifetime: LIFETIME,
            min_distance: Seconds(0),
        },
        credentials: CredentialOptions::default(),
        throttle: Throttle::Off,
    };
    let (store, records) = (Box::new(MemoryStore::default()), world.build().unwrap());
    Directory::open::<DirectoryError>(store, || Ok(records), NOW, &options).unwrap()
}

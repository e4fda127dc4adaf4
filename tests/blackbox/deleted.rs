//! The effect of an identity's deletion on its tokens.

use serde_json::Value;

use crate::control::Server;
use crate::vaults::{asked, uri};

/// The demo world with an identity `web` and a machine `v` at 127.0.0.9. Both may read everything.
struct World {
    server: Server,
    arm: String,
    vault: String,
}

impl World {
    fn new() -> Self {
        let server = Server::start();
        server.prints(&["identity", "create", "web", "--group", "demo"]);
        let create = ["vm", "create", "v", "--group", "demo", "--address", "127.0.0.9"];
        server.prints(&create);
        server.prints(&["vm", "assign", "v", "--identity", "web", "--system-assigned"]);
        let vault = uri(&server.json(&["vault", "show", "demo-vault"]));
        let endpoints = std::fs::read(server.folder().join("endpoints.json")).unwrap();
        let endpoints: Value = serde_json::from_slice(&endpoints).unwrap();
        let arm = endpoints["arm"].as_str().unwrap().replacen("http://", "https://", 1);
        Self { server, arm, vault }
    }

    fn id(&self, args: &[&str], pointer: &str) -> String {
        let shown = self.server.json(args);
        shown.pointer(pointer).unwrap().as_str().unwrap().to_owned()
    }

    fn permit(&self, principal: &str) {
        for role in ["Owner", "Key Vault Secrets Officer"] {
            let args = ["--principal", principal, "--role", role, "--scope", "subscription"];
            self.server.prints(&[&["role", "assign"], &args[..]].concat());
        }
    }

    /// Returns tokens for the control plane and the vaults.
    fn tokens(&self, identity: &[&str]) -> [String; 2] {
        ["https://management.azure.com/", "https://vault.azure.net"].map(|resource| {
            let args = ["token", "--bare", "--vm-address", "127.0.0.9", "--resource", resource];
            self.server.prints(&[&args, identity].concat()).trim().to_owned()
        })
    }

    /// Returns the status that each token gets at the control plane and at a vault.
    fn statuses(&self, tokens: &[String; 2]) -> [String; 2] {
        let asks = [
            (&self.arm, "/subscriptions?api-version=2021-04-01"),
            (&self.vault, "/secrets?api-version=7.4"),
        ];
        let mut tokens = tokens.iter();
        asks.map(|(url, target)| {
            let header = format!("Authorization: Bearer {}\r\n", tokens.next().unwrap());
            let answer = asked(self.server.folder(), url, target, &header);
            answer.split(' ').nth(1).unwrap().to_owned()
        })
    }
}

#[test]
fn tokens_of_an_identity_that_is_removed_are_refused_at_once_and_those_of_others_are_not() {
    let world = World::new();
    let show = ["identity", "show", "web"];
    let client_id = world.id(&show, "/properties/clientId");
    let own = world.id(&["vm", "show", "v"], "/identity/principalId");
    world.permit(&world.id(&show, "/properties/principalId"));
    world.permit(&own);
    let web = world.tokens(&["--identity", &client_id]);
    let machine = world.tokens(&[]);
    assert_eq!((world.statuses(&web), world.statuses(&machine)), (both("200"), both("200")));

    world.server.prints(&["vm", "unassign", "v", "--identity", "web"]);
    assert_eq!(world.statuses(&web), both("200"), "taken from a machine only, as in Azure");
    world.server.prints(&["identity", "remove", "web"]);
    assert_eq!((world.statuses(&web), world.statuses(&machine)), (both("401"), both("200")));
    world.server.prints(&["identity", "create", "web", "--group", "demo"]);
    assert_eq!(world.statuses(&web), both("401"), "one of the same name is another");

    world.server.prints(&["vm", "remove", "v"]);
    assert_eq!(world.statuses(&machine), both("401"));
}

fn both(status: &str) -> [String; 2] {
    [status.to_owned(), status.to_owned()]
}

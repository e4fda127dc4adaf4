use super::resolve::one_line;
use super::*;
use crate::base::files;
use crate::base::secret::Redacted;
use crate::cli::sources::variables::RUN_VARIABLES;
use crate::harness::dialect::protocol::{ClientAuth, Dialect, OAuth2, Proof, Protocol};

#[test]
fn a_protocol_may_be_written_before_the_url() {
    let target: TargetUrl = "oauth2+https://127.0.0.1/t".parse().unwrap();
    assert_eq!(
        (target.protocol, target.url.to_string().as_str()),
        (Some(Protocol::OAuth2), "https://127.0.0.1/t")
    );
    let plain: TargetUrl = "http://127.0.0.1/a+b".parse().unwrap();
    assert_eq!(plain.protocol, None);
    let capitals: TargetUrl = "GET+HTTP://LOCALHOST:1/A".parse().unwrap();
    assert_eq!(
        (capitals.protocol, capitals.url.to_string().as_str()),
        (Some(Protocol::Get), "http://localhost:1/A")
    );
    let wrong = "ldap+http://127.0.0.1".parse::<TargetUrl>().unwrap_err().to_string();
    assert!(wrong.contains("app-service, aws, gce"), "{wrong}");
}

#[test]
fn a_flag_that_no_target_uses_is_refused() {
    let args = TargetArgs { role: Some("r".to_owned()), ..TargetArgs::default() };
    let [gce, aws] = ["gce+http://127.0.0.1", "aws+http://127.0.0.1"].map(|t| t.parse().unwrap());
    let error = args.check(&[&gce], None).unwrap_err().to_string();
    assert!(error.contains("--role is of no use with the protocol `gce`"), "{error}");
    args.check(&[&gce, &aws], None).unwrap();
    let keys = "http://127.0.0.1/keys".parse().unwrap();
    assert!(matches!(
        args.check(&[&aws], Some(&keys)),
        Err(TargetError::Unused { flag: "jwks", .. })
    ));
    let both = TargetArgs { protocol: Some(Protocol::Aws), ..args };
    assert!(matches!(
        both.check(&[&gce], None),
        Err(TargetError::Protocols { given: Protocol::Aws, written: Protocol::Gce })
    ));
}

#[test]
fn what_would_change_a_request_is_refused() {
    let target: TargetUrl = "aws+http://127.0.0.1".parse().unwrap();
    for role in ["", "a b", "a/../b", "..", "a?b", "a\r\nb", "\u{e4}"] {
        let args = TargetArgs { role: Some(role.to_owned()), ..TargetArgs::default() };
        let refused = args.resolve(&target, None, &RUN_VARIABLES);
        assert!(matches!(refused, Err(TargetError::Role(_))), "{role:?}");
    }
    for secret in ["", " ", "a\r\nX: b", "a\rb", "a\0"] {
        let secret = Redacted::new(secret.as_bytes().to_vec());
        assert!(matches!(one_line(&secret, "V"), Err(TargetError::Secret(_))), "{secret:?}");
    }
    let secret = one_line(&Redacted::new(b"a b\n".to_vec()), "V").unwrap();
    assert_eq!(secret.expose(), b"a b");
}

#[test]
fn a_target_file_says_all_of_its_target_and_names_files_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.toml");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(
        "target = \"oauth2+https://127.0.0.1/t\"\nclient-id = \"b\"\nclient-secret-file = \"b.secret\"\nclient-auth = \"basic\"\ninsecure = true",
    );
    let secret = folder.path().join("b.secret");
    files::replace(&secret, 0o600, b"hush\n").unwrap();
    let target: TargetUrl = path.to_str().unwrap().parse().unwrap();
    let flags = TargetArgs { client_id: Some("a".to_owned()), ..TargetArgs::default() };
    let resolved = flags.resolve(&target, None, &RUN_VARIABLES).unwrap();
    let Dialect::OAuth2(OAuth2 { client_id, proof: Proof::Secret { secret, auth }, .. }) =
        &*resolved.dialect
    else {
        panic!("{resolved:?}");
    };
    assert_eq!((client_id.as_str(), secret.expose()), ("b", &b"hush"[..]));
    assert_eq!(*auth, ClientAuth::Basic);
    assert!(resolved.is_unchecked());
    assert!(!format!("{resolved:?}").contains("hush"));
    for (text, message) in [
        ("target = \"http://127.0.0.1\"\nclient = \"b\"", "unknown field `client`"),
        ("protocol = \"gce\"", "missing field `target`"),
        ("target = \"http://127.0.0.1\"\nprotocol = \"ldap\"", "unknown variant `ldap`"),
        ("target = \"c.toml\"", "not a URL"),
    ] {
        write(text);
        let error = path.to_str().unwrap().parse::<TargetUrl>().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
    }
}

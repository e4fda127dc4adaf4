//! Lines that a person pastes into a second terminal.

use std::path::{Path, absolute};

/// Returns a line that asks for a token, and a line that leads SDKs to the server, whose folder is `data`.
pub(super) fn to_paste<'a>(
    endpoints: impl Iterator<Item = (&'static str, &'a str)>,
    data: Option<&Path>,
) -> String {
    let mut endpoints = endpoints.filter(|(name, _)| *name == "imds").map(|(_, url)| url);
    let Some(imds) = endpoints.next() else { return String::new() };
    // The second terminal may be in another folder.
    let data = data.map(|path| absolute(path).unwrap_or_else(|_| path.to_owned()));
    let data = data.map_or_else(String::new, |path| format!(" --data {}", quoted(&path)));
    format!(
        "
in another terminal, a token:
  curl -H 'Metadata: true' '{imds}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'
there, the variables of every SDK (`mintbench exec{data} -- PROGRAM` sets them for one program):
  eval \"$(mintbench env{data})\"
"
    )
}

/// Returns the path as one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if is_plain { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_an_sdk_are_one_line_each() {
        let endpoints = [("imds", "http://127.0.0.1:8169"), ("sts", "http://127.0.0.1:8170")];
        let said = to_paste(endpoints.into_iter(), None);
        let [_, _, token, _, sdk] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert!(
            token.starts_with("  curl -H 'Metadata: true' 'http://127.0.0.1:8169/metadata/"),
            "{token}"
        );
        assert_eq!(sdk, "  eval \"$(mintbench env)\"");
        assert_eq!(to_paste(std::iter::empty(), None), "");
    }

    #[test]
    fn the_folder_of_the_server_is_named_from_anywhere() {
        let said = |data: &str| {
            let endpoints = [("imds", "http://127.0.0.1:8169")];
            to_paste(endpoints.into_iter(), Some(Path::new(data)))
        };
        let quoted = said("/srv/it's here");
        assert!(
            quoted.ends_with("  eval \"$(mintbench env --data '/srv/it'\\''s here')\"\n"),
            "{quoted}"
        );
        let relative = said("data");
        let here = std::env::current_dir().unwrap();
        assert!(relative.contains(&format!("--data {}/data", here.display())), "{relative}");
    }
}

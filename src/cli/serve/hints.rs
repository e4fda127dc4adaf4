//! Lines that a person pastes into a second terminal.

/// Returns a line that asks for a token, and a line that leads an SDK to the server.
pub(super) fn to_paste<'a>(endpoints: impl Iterator<Item = (&'static str, &'a str)>) -> String {
    let mut endpoints = endpoints.filter(|(name, _)| *name == "imds").map(|(_, url)| url);
    endpoints.next().map_or_else(String::new, |imds| {
        format!(
            "\nin another terminal, a token:\n  curl -H 'Metadata: true' '{imds}/metadata/identity/oauth2/token?api-version=2018-02-01&resource=https://vault.azure.net'\nthere, the variables of every SDK (`mintbench exec -- PROGRAM` sets them for one program):\n  eval \"$(mintbench env)\"\n"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_and_an_sdk_are_one_line_each() {
        let endpoints = [("imds", "http://127.0.0.1:8169"), ("sts", "http://127.0.0.1:8170")];
        let said = to_paste(endpoints.into_iter());
        let [_, _, token, _, sdk] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        assert!(
            token.starts_with("  curl -H 'Metadata: true' 'http://127.0.0.1:8169/metadata/"),
            "{token}"
        );
        assert_eq!(sdk, "  eval \"$(mintbench env)\"");
        assert_eq!(to_paste(std::iter::empty()), "");
    }
}

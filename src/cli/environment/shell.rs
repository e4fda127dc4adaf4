//! Forms of an environment: commands of shells, and files of variables.

use std::fmt::Write as _;

use clap::ValueEnum;

use super::variables::Environment;

/// A form of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// Commands for bash, zsh and sh: `eval "$(mintbench env)"`
    #[value(aliases = ["sh", "zsh"])]
    Bash,
    /// Commands for fish: `mintbench env --shell fish | source`
    Fish,
    /// Commands for `PowerShell`: `mintbench env --shell pwsh | Out-String | Invoke-Expression`
    #[value(alias = "powershell")]
    Pwsh,
    /// Lines for an env file, as of Compose
    Dotenv,
    /// Lines for the file `$GITHUB_ENV` of a GitHub action
    Github,
}

impl Shell {
    /// Writes the environment. Files cannot remove a variable, so they leave out those to clear.
    pub(crate) fn render(self, environment: &Environment) -> String {
        let mut text = String::new();
        for (name, value) in &environment.set {
            // Writing to a string cannot fail.
            let _ = match self {
                Self::Bash => writeln!(text, "export {name}={}", posix(value)),
                Self::Fish => writeln!(text, "set -gx {name} {}", fish(value)),
                Self::Pwsh => writeln!(text, "$env:{name} = '{}'", value.replace('\'', "''")),
                Self::Dotenv if is_plain(value) => writeln!(text, "{name}={value}"),
                Self::Dotenv => writeln!(text, "{name}={}", posix(value)),
                Self::Github => writeln!(text, "{name}={value}"),
            };
        }
        for name in &environment.cleared {
            let _ = match self {
                Self::Bash => writeln!(text, "unset {name}"),
                Self::Fish => writeln!(text, "set -e {name}"),
                Self::Pwsh => writeln!(text, "Remove-Item Env:{name} -ErrorAction Ignore"),
                Self::Dotenv | Self::Github => Ok(()),
            };
        }
        text
    }
}

/// Returns true if no reader of env files treats a character of the value as special.
fn is_plain(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@%:,=[]".contains(&byte))
}

fn posix(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

fn fish(value: &str) -> String {
    format!("'{}'", value.replace('\\', r"\\").replace('\'', r"\'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_quotes_what_it_must() {
        let environment = Environment {
            set: vec![("A", r"it's\x".to_owned()), ("B", "/b".to_owned())],
            cleared: vec!["C"],
        };
        for (shell, text) in [
            (Shell::Bash, "export A='it'\\''s\\x'\nexport B='/b'\nunset C\n"),
            (Shell::Fish, "set -gx A 'it\\'s\\\\x'\nset -gx B '/b'\nset -e C\n"),
            (
                Shell::Pwsh,
                "$env:A = 'it''s\\x'\n$env:B = '/b'\nRemove-Item Env:C -ErrorAction Ignore\n",
            ),
            (Shell::Dotenv, "A='it'\\''s\\x'\nB=/b\n"),
            (Shell::Github, "A=it's\\x\nB=/b\n"),
        ] {
            assert_eq!(shell.render(&environment), text, "{shell:?}");
        }
    }
}

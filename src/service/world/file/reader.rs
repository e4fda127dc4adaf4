//! The state of reading a world file: the items so far, and the faults.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use toml::Spanned;

use crate::base::files::ReadError;
use crate::base::ids::{ArmId, PrincipalId, SubscriptionId, TenantId};
use crate::base::synthetic::IdentityIds;
use crate::base::toml_file::{Fault, Lines};
use crate::service::world::record::Record;
use crate::service::world::seed::{Added, SeedBuilder, derived_ids};

/// Function that returns the text of a file that a world file names.
pub(crate) type ReadFile<'a> = &'a dyn Fn(&str) -> Result<String, ReadError>;

/// Converts entries to items of the world and collects problems on the way.
pub(super) struct Reader<'a> {
    pub(super) lines: Lines,
    pub(super) read_file: ReadFile<'a>,
    pub(super) builder: SeedBuilder,
    pub(super) tenants: HashMap<String, TenantId>,
    /// `None` marks an entry with a fault that was already reported.
    pub(super) subscriptions: HashMap<String, Option<(SubscriptionId, TenantId)>>,
    /// User-assigned identities by name. `None` as above.
    pub(super) user_assigned: HashMap<String, Option<Added>>,
    /// Principals by the name of their VM, identity or application. `None` as above.
    pub(super) principals: HashMap<String, Option<PrincipalId>>,
    pub(super) ambiguous: HashSet<String>,
    /// Vaults by name in lower case. `None` as above.
    pub(super) vaults: HashMap<String, Option<ArmId>>,
    pub(super) problems: Vec<Fault>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &str, read_file: ReadFile<'a>) -> Self {
        Self {
            lines: Lines::of(text),
            read_file,
            builder: SeedBuilder::default(),
            tenants: HashMap::new(),
            subscriptions: HashMap::new(),
            user_assigned: HashMap::new(),
            principals: HashMap::new(),
            ambiguous: HashSet::new(),
            vaults: HashMap::new(),
            problems: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Result<Vec<Record>, Vec<Fault>> {
        let Self { builder, mut problems, .. } = self;
        if !problems.is_empty() {
            problems.sort();
            return Err(problems);
        }
        Ok(builder.build())
    }

    pub(super) fn problem(&mut self, span: &Range<usize>, what: impl fmt::Display) {
        self.problems.push(Fault { line: self.lines.at(span), what: what.to_string() });
    }

    /// Returns a good value. Records the problem of a bad one with its line.
    pub(super) fn keep<T, E: fmt::Display>(
        &mut self,
        span: &Range<usize>,
        value: Result<T, E>,
    ) -> Option<T> {
        value.map_err(|error| self.problem(span, error)).ok()
    }

    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(
        &mut self,
        text: &Spanned<String>,
    ) -> Option<T> {
        self.keep(&text.span(), text.get_ref().parse())
    }

    pub(super) fn subscription_named(
        &mut self,
        name: &Spanned<String>,
    ) -> Option<(SubscriptionId, TenantId)> {
        let known = self.subscriptions.get(&name.get_ref().to_ascii_lowercase()).copied();
        let missing = || {
            format!(
                "the subscription `{}` is not in [[subscriptions]]; add it there",
                name.get_ref()
            )
        };
        self.keep(&name.span(), known.ok_or_else(missing)).flatten()
    }

    pub(super) fn arm_id(
        &mut self,
        subscription: SubscriptionId,
        group: &Spanned<String>,
        path: &str,
        name: &Spanned<String>,
    ) -> Option<ArmId> {
        for (what, text) in [("resource group", group), ("name", name)] {
            if !is_resource_name(text.get_ref()) {
                self.problem(
                    &text.span(),
                    format!(
                        "`{}` is not a {what}; use 1 to 90 letters, digits, - _ . ( )",
                        text.get_ref()
                    ),
                );
                return None;
            }
        }
        let (group, name) = (group.get_ref(), name.get_ref());
        let id =
            format!("/subscriptions/{subscription}/resourceGroups/{group}/providers/{path}/{name}")
                .parse();
        self.keep(&(0..0), id)
    }

    pub(super) fn ids(
        &mut self,
        resource_id: &ArmId,
        client_id: Option<&Spanned<String>>,
        principal_id: Option<&Spanned<String>>,
    ) -> Option<IdentityIds> {
        let mut ids = derived_ids(resource_id);
        if let Some(text) = client_id {
            ids.client_id = self.parsed(text)?;
        }
        if let Some(text) = principal_id {
            ids.principal_id = self.parsed(text)?;
        }
        Some(ids)
    }
}

/// Returns true if a name meets the rules that Azure has for both resources and groups.
fn is_resource_name(text: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'(' | b')');
    (1..=90).contains(&text.len()) && text.bytes().all(allowed) && !text.ends_with('.')
}

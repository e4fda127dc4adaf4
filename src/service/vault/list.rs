//! Paged lists.
//!
//! A page ends with a link to the next page. The link names the last item shown, so items that are added or
//! removed between two pages do not move other items in or out.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::bundle::{Bundle, Page, Shown, Shows};
use super::headers::json;
use super::located::Located;
use super::objects::{deleted, live};
use super::query::{Query, QueryError};
use crate::base::clock::UnixSeconds;
use crate::service::directory::State;

/// The requested list.
pub(super) struct List<'a> {
    pub(super) located: &'a Located,
    pub(super) query: &'a Query,
    /// Path of the list, as in `/secrets`.
    pub(super) path: String,
}

impl List<'_> {
    /// Returns the live objects, ordered by name.
    pub(super) fn live<C: Shows>(&self, state: &State) -> Result<String, QueryError> {
        let after = self.after()?;
        let all = C::objects(state).after(&self.located.vault.id, &after);
        let shown = all.filter_map(|(name, object)| Some((name.to_owned(), live(object)?)));
        let (items, next_link) = self.cut(shown);
        let bundles = items.into_iter().map(|item| Bundle::of(item, self.located, Shown::Object));
        Ok(json(&Page { value: bundles.collect(), next_link }))
    }

    /// Returns the versions of a live object, the oldest first. An object that does not exist has no versions.
    pub(super) fn versions<C: Shows>(
        &self,
        state: &State,
        name: &str,
    ) -> Result<String, QueryError> {
        let after = match &*self.after()? {
            "" => None,
            text => Some(text.parse::<u64>().map_err(|_| QueryError::SkipToken)?),
        };
        let object = C::objects(state).get(&self.located.vault.id, name);
        let all = object.filter(|object| live(object).is_some()).map(|object| &object.versions);
        let rest = all.into_iter().flatten().filter(|held| after < Some(held.ordinal));
        let (items, next_link) = self.cut(rest.map(|held| (held.ordinal.to_string(), held)));
        let bundles = items.into_iter().map(|item| Bundle::of(item, self.located, Shown::Version));
        Ok(json(&Page { value: bundles.collect(), next_link }))
    }

    /// Returns the deleted objects that can be recovered, ordered by name.
    pub(super) fn deleted<C: Shows>(
        &self,
        state: &State,
        now: UnixSeconds,
    ) -> Result<String, QueryError> {
        let after = self.after()?;
        let all = C::objects(state).after(&self.located.vault.id, &after);
        let shown = all.filter_map(|(name, object)| Some((name.to_owned(), deleted(object, now)?)));
        let (items, next_link) = self.cut(shown);
        let bundles =
            items.iter().map(|item| Bundle::of_deleted(item, self.located, Shown::Object));
        let value = bundles.collect();
        Ok(json(&Page { value, next_link }))
    }

    /// Returns the key of the last item of the previous page, empty for the first page.
    fn after(&self) -> Result<String, QueryError> {
        let token = self.query.skip_token.as_deref().unwrap_or_default();
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| QueryError::SkipToken)?;
        String::from_utf8(bytes).map_err(|_| QueryError::SkipToken)
    }

    /// Returns the first page of `items`, and the link to the next page if there is one.
    fn cut<T>(&self, mut items: impl Iterator<Item = (String, T)>) -> (Vec<T>, Option<String>) {
        let Query { api_version, page_size, .. } = self.query;
        let (keys, page): (Vec<_>, Vec<_>) = items.by_ref().take(*page_size).unzip();
        let last = keys.last().filter(|_| items.next().is_some());
        let link = last.map(|last| {
            let (base_url, path) = (&self.located.base_url, &self.path);
            let token = BASE64_URL_SAFE_NO_PAD.encode(last);
            format!(
                "{base_url}{path}?api-version={api_version}&$skiptoken={token}&maxresults={page_size}"
            )
        });
        (page, link)
    }
}

//! Paged lists.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use super::error::ArmError;
use super::reply::Reply;
use super::request::call::Call;
use super::request::content::json_bytes;
use crate::service::directory::State;

/// Largest size of the items of a page, in bytes, because a page is built and sent as a whole. A single
/// larger item gets its own page.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// The requested page of a list.
#[derive(Debug)]
pub(super) struct Page {
    /// Key of the last item of the previous page.
    pub(super) after: Option<String>,
    /// Largest number of items.
    size: usize,
}

impl Page {
    /// Parses `$top` and `$skiptoken` of a request.
    pub(super) fn of(call: &Call) -> Result<Self, ArmError> {
        let invalid = |name: &str, value: &str| {
            ArmError::InvalidQuery(format!(
                "The value '{value}' of the query parameter '{name}' is invalid."
            ))
        };
        let top = call.query.get("$top").map(|text| {
            let top = text.parse::<usize>().ok().filter(|top| *top > 0);
            top.ok_or_else(|| invalid("$top", text))
        });
        let after = call.query.get("$skiptoken").map(|token| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
            let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
            text.filter(|text| !text.is_empty()).ok_or_else(|| invalid("$skiptoken", token))
        });
        let size = top.transpose()?.map_or(call.page_size, |top| top.min(call.page_size));
        Ok(Self { after: after.transpose()?, size: size.max(1) })
    }

    /// Parses the key of the last item of the previous page as `T`.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, ArmError> {
        let invalid = |_| {
            ArmError::InvalidQuery(
                "The value of the query parameter '$skiptoken' is invalid.".to_owned(),
            )
        };
        self.after.as_deref().map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// Builds the answer: the first of `items`, as many as fit on a page, and a link to the next page.
    /// `items` begins after the previous page.
    pub(super) fn reply<T>(
        &self,
        call: &Call,
        items: impl Iterator<Item = T>,
        key: impl Fn(&T) -> String,
        show: impl Fn(&T) -> Value,
    ) -> Reply {
        let mut items = items.peekable();
        let (mut value, mut last) = (Vec::new(), None);
        let (mut bytes, mut is_cut) = (0, false);
        for item in items.by_ref().take(self.size) {
            let shown = show(&item);
            bytes += json_bytes(&shown);
            // An item that is larger than a page gets its own page.
            if bytes > PAGE_BYTES_MAX && !value.is_empty() {
                is_cut = true;
                break;
            }
            value.push(shown);
            last = Some(key(&item));
        }
        let mut body = json!({"value": value});
        if let Some(last) = last.filter(|_| is_cut || items.peek().is_some())
            && let Some(body) = body.as_object_mut()
        {
            let query = call.query.with_skip_token(&BASE64_URL_SAFE_NO_PAD.encode(last));
            let next = format!("{}{}?{query}", call.base_url, call.path);
            body.insert("nextLink".to_owned(), next.into());
        }
        Reply::ok(body)
    }
}

/// Builds the answer to a list of `items` at `scope`. A caller that may do `action` there gets all items.
/// Other callers get the items that they may see, and are refused when there are none.
pub(super) fn readable<'a, T>(
    call: &Call,
    state: &State,
    (action, scope): (&str, &str),
    items: impl Fn(Option<&crate::base::ids::ArmId>) -> Box<dyn Iterator<Item = T> + 'a>,
    id: impl Fn(&T) -> &crate::base::ids::ArmId,
    show: impl Fn(&T) -> Value,
) -> Result<Reply, ArmError> {
    let page = Page::of(call)?;
    let after = page.after()?;
    let key = |item: &T| id(item).to_string();
    if call.may(state, action, scope) {
        return Ok(page.reply(call, items(after.as_ref()), key, show));
    }
    if !call.actor.may_below(state, action, scope) {
        call.require(state, action, scope)?;
    }
    let seen = |item: &T| call.may(state, action, id(item).as_str());
    if !items(None).any(|item| seen(&item)) {
        call.require(state, action, scope)?;
    }
    Ok(page.reply(call, items(after.as_ref()).filter(seen), key, show))
}

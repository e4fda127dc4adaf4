//! Lists, a page at a time.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use serde_json::{Value, json};

use super::call::Call;
use super::content::json_bytes;
use super::error::ArmError;
use super::reply::Reply;
use crate::directory::State;

/// Most bytes of the items of a page, unless a single one is longer: a page is made and sent as a whole.
const PAGE_BYTES_MAX: usize = 1024 * 1024;

/// Which page of a list is asked for.
#[derive(Debug)]
pub(super) struct Page {
    /// The key of the last item of the page before.
    pub(super) after: Option<String>,
    /// Most items.
    size: usize,
}

impl Page {
    /// The page that a request asks for with `$top` and `$skiptoken`.
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

    /// The key of the last item before, as `T`.
    pub(super) fn after<T: std::str::FromStr>(&self) -> Result<Option<T>, ArmError> {
        let invalid = |_| {
            ArmError::InvalidQuery(
                "The value of the query parameter '$skiptoken' is invalid.".to_owned(),
            )
        };
        self.after.as_deref().map(|text| text.parse().map_err(invalid)).transpose()
    }

    /// The answer: the first of `items`, as many as a page holds, which come after the page before, and a link to the rest.
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
            // What is longer than a page on its own is one.
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

/// The answer to a list of `items` at `scope`: all of them for who may do `action` there; what they may
/// see one by one for others, who are refused when that is nothing.
pub(super) fn readable<'a, T>(
    call: &Call,
    state: &State,
    (action, scope): (&str, &str),
    items: impl Fn(Option<&crate::ids::ArmId>) -> Box<dyn Iterator<Item = T> + 'a>,
    id: impl Fn(&T) -> &crate::ids::ArmId,
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

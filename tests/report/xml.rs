//! A small strict parser of pages: every element is closed, every attribute is quoted.

use std::collections::BTreeMap;

/// An element with its content.
#[derive(Debug, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) children: Vec<Element>,
    /// The text directly in the element.
    pub(crate) text: String,
}

impl Element {
    /// Returns every element of this name below this one, in order.
    pub(crate) fn all(&self, name: &str) -> Vec<&Self> {
        let mut all = Vec::new();
        for child in &self.children {
            if child.name == name {
                all.push(child);
            }
            all.extend(child.all(name));
        }
        all
    }

    pub(crate) fn attribute(&self, name: &str) -> &str {
        self.attributes.get(name).map_or("", String::as_str)
    }

    /// Returns all text in the element, including that of its children.
    pub(crate) fn whole_text(&self) -> String {
        let mut text = self.text.clone();
        for child in &self.children {
            text += &child.whole_text();
        }
        text
    }
}

/// Parses a page.
///
/// # Panics
/// Panics if the page is not well-formed.
pub(crate) fn parse(html: &str) -> Element {
    let rest = html.strip_prefix("<!doctype html>\n").expect("a doctype first");
    let mut open = vec![Element::default()];
    let mut rest = rest;
    while let Some(at) = rest.find('<') {
        push_text(open.last_mut().unwrap(), &rest[..at]);
        let end = rest[at..].find('>').expect("a tag ends") + at;
        let tag = &rest[at + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            let element = open.pop().unwrap();
            assert_eq!(element.name, name, "closed in the order of opening");
            open.last_mut().expect("one document").children.push(element);
        } else if let Some(tag) = tag.strip_suffix('/') {
            let element = element(tag);
            open.last_mut().unwrap().children.push(element);
        } else {
            open.push(element(tag));
        }
    }
    push_text(open.last_mut().unwrap(), rest);
    let document = open.pop().unwrap();
    assert!(open.is_empty(), "`{}` is never closed", document.name);
    document
}

fn element(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    let is_name = |text: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    assert!(is_name(name), "`<{tag}>` is no tag");
    let mut attributes = BTreeMap::new();
    while !rest.trim().is_empty() {
        let (key, after) = rest.trim_start().split_once("=\"").expect("attributes are quoted");
        let (value, after) = after.split_once('"').expect("quotes end");
        assert!(is_name(key), "`{key}` in `<{tag}>`");
        assert!(!value.contains('<'), "`{value}` in `<{tag}>`");
        let twice = attributes.insert(key.to_owned(), unescaped(value));
        assert!(twice.is_none(), "`{key}` twice in `<{tag}>`");
        rest = after;
    }
    Element { name: name.to_owned(), attributes, ..Element::default() }
}

fn push_text(element: &mut Element, text: &str) {
    element.text += &unescaped(text);
}

fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out += &rest[..at];
        let end = rest[at..].find(';').expect("an entity ends") + at;
        out.push(match &rest[at + 1..end] {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            number => {
                let number = number.strip_prefix('#').expect("a known entity");
                char::from_u32(number.parse().unwrap()).unwrap()
            }
        });
        rest = &rest[end + 1..];
    }
    out + rest
}

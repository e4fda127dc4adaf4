//! Finds the file that defines a mentioned name: the arrows between files.

use std::collections::{BTreeMap, BTreeSet};

use crate::source::{Source, child};

/// The most re-exports that are followed from one name.
const REEXPORTS_MAX: usize = 8;

/// An arrow: code of one file names an item of another. Files are written as modules.
#[derive(Debug)]
pub(crate) struct Arrow {
    pub(crate) from: String,
    pub(crate) to: String,
    /// The file and the line that name the item first.
    pub(crate) place: String,
    /// The path of the item as it is written there.
    pub(crate) path: String,
    pub(crate) in_test: bool,
}

/// The names of the crate.
#[derive(Debug, Default)]
pub(crate) struct Names<'a> {
    /// The file of each module, as the module that is the whole file.
    files: BTreeMap<&'a str, &'a str>,
    /// Imports of each module: name and path.
    imports: BTreeMap<&'a str, Vec<(&'a str, &'a [String])>>,
    test_modules: BTreeSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Collects the names of sources, which are listed by path.
    pub(crate) fn new(sources: &'a BTreeMap<String, Source>) -> Self {
        let mut names = Self::default();
        for source in sources.values() {
            let file = source.modules[0].as_str();
            names.files.extend(source.modules.iter().map(|module| (module.as_str(), file)));
            names.test_modules.extend(source.test_modules.iter().map(String::as_str));
            for mention in &source.mentions {
                if let Some(name) = &mention.name {
                    names.imports.entry(&mention.module).or_default().push((name, &mention.path));
                }
            }
        }
        names
    }

    /// Returns the arrows of the crate: for two files at most one outside tests and one in tests.
    pub(crate) fn arrows(&self, sources: &BTreeMap<String, Source>) -> Vec<Arrow> {
        let mut arrows = BTreeMap::new();
        for (path, source) in sources {
            let from = &source.modules[0];
            for mention in &source.mentions {
                let found = self.find(&mention.module, &mention.path, REEXPORTS_MAX);
                let to = found.and_then(|module| self.files.get(module.as_str()).copied());
                if let Some(to) = to.filter(|to| to != from) {
                    let in_test = mention.in_test || self.is_test(from);
                    arrows.entry((from, to, in_test)).or_insert_with(|| Arrow {
                        from: from.clone(),
                        to: to.to_owned(),
                        place: format!("{path}:{}", mention.line),
                        path: mention.path.join("::"),
                        in_test,
                    });
                }
            }
        }
        arrows.into_values().collect()
    }

    /// Returns true if `module` is declared for tests only, or stands inside such a module.
    fn is_test(&self, module: &str) -> bool {
        self.test_modules.iter().any(|test| is_within(module, test))
    }

    /// Returns the module that defines the last name of `path`, which code in `module` mentions.
    fn find(&self, module: &str, path: &[String], reexports: usize) -> Option<String> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" | "mintbench" => self.walk(String::new(), rest, reexports),
            "self" => self.walk(module.to_owned(), rest, reexports),
            "super" => self.walk(parent(module), rest, reexports),
            _ if self.declares(module, first) => self.walk(module.to_owned(), path, reexports),
            _ => None,
        }
    }

    fn walk(&self, mut module: String, path: &[String], reexports: usize) -> Option<String> {
        for (at, name) in path.iter().enumerate() {
            let inner = child(&module, name);
            if name == "super" {
                module = parent(&module);
            } else if self.files.contains_key(inner.as_str()) {
                module = inner;
            } else if let (Some(import), true) = (self.import(&module, name), reexports > 0) {
                let path = [import, &path[at + 1..]].concat();
                // A name of another crate counts as defined where it is re-exported.
                return self.find(&module, &path, reexports - 1).or(Some(module));
            } else {
                break;
            }
        }
        Some(module)
    }

    fn declares(&self, module: &str, name: &str) -> bool {
        self.files.contains_key(child(module, name).as_str()) || self.import(module, name).is_some()
    }

    fn import(&self, module: &str, name: &str) -> Option<&'a [String]> {
        let imports = self.imports.get(module)?;
        imports.iter().find(|(imported, _)| *imported == name).map(|(_, path)| *path)
    }
}

/// Returns true if `module` is `outer` or stands inside it.
pub(crate) fn is_within(module: &str, outer: &str) -> bool {
    module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn parent(module: &str) -> String {
    module.rsplit_once("::").map_or("", |(outer, _)| outer).to_owned()
}

//! Reads one source file with `syn`: its modules, its functions and the paths that it mentions.

use std::ops::Range;

use proc_macro2::{LineColumn, TokenStream};
use syn::visit::{self, Visit};

use crate::tokens::{self, Token};

/// A `use` or a path that code mentions.
#[derive(Debug)]
pub(crate) struct Mention {
    /// The module that mentions the path.
    pub(crate) module: String,
    pub(crate) path: Vec<String>,
    /// The name that a `use` gives to the path in `module`; `*` if it imports all names.
    pub(crate) name: Option<String>,
    pub(crate) line: usize,
    pub(crate) in_test: bool,
}

/// Contents of a source file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    /// The module of the file and the modules that are written inside the file.
    pub(crate) modules: Vec<String>,
    /// Modules that are test code and have files of their own.
    pub(crate) test_modules: Vec<String>,
    pub(crate) mentions: Vec<Mention>,
    /// Name, first line and number of lines of each function.
    pub(crate) functions: Vec<(String, usize, usize)>,
    /// Places of the items below `#[cfg(test)]`.
    pub(crate) tests: Vec<Range<LineColumn>>,
    module: String,
}

/// Returns the path of `name` in `module`. The path of the crate root is empty.
pub(crate) fn child(module: &str, name: &str) -> String {
    if module.is_empty() { name.to_owned() } else { format!("{module}::{name}") }
}

impl Source {
    /// Reads the text of the file that is `module`.
    pub(crate) fn read(module: &str, text: &str) -> syn::Result<Self> {
        let file = syn::parse_file(text)?;
        let tokens = tokens::flatten(text.parse()?);
        let tests = ["cfg ( test )", "cfg ( all ( test"];
        let tests = tests.iter().flat_map(|pattern| tokens::below_attribute(&tokens, pattern));
        let tests = tests.collect();
        let module = module.to_owned();
        let modules = vec![module.clone()];
        let mut source = Self { tokens, modules, tests, module, ..Self::default() };
        source.visit_file(&file);
        Ok(source)
    }

    fn in_test(&self, place: LineColumn) -> bool {
        self.tests.iter().any(|item| item.contains(&place))
    }

    fn mention(&mut self, path: Vec<String>, name: Option<String>, place: LineColumn) {
        let (line, in_test) = (place.line, self.in_test(place));
        self.mentions.push(Mention { module: self.module.clone(), path, name, line, in_test });
    }

    fn use_tree(&mut self, path: &[String], tree: &syn::UseTree) {
        let longer = |ident: &syn::Ident| [path, &[ident.to_string()]].concat();
        let (path, name, ident) = match tree {
            syn::UseTree::Path(tree) => return self.use_tree(&longer(&tree.ident), &tree.tree),
            syn::UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.use_tree(path, tree));
            }
            syn::UseTree::Glob(glob) => {
                return self.mention(
                    path.to_vec(),
                    Some("*".into()),
                    glob.star_token.spans[0].start(),
                );
            }
            syn::UseTree::Rename(tree) => (longer(&tree.ident), &tree.rename, &tree.ident),
            syn::UseTree::Name(tree) => (longer(&tree.ident), &tree.ident, &tree.ident),
        };
        // `use a::b::{self}` is `use a::b`.
        let whole = path.len() > 1 && path.last().is_some_and(|last| last == "self");
        let path = if whole { path[..path.len() - 1].to_vec() } else { path };
        let name = if name == "self" { path.last().cloned() } else { Some(name.to_string()) };
        self.mention(path, name, ident.span().start());
    }

    /// Reads the paths in tokens that `syn` does not parse: arguments of macros and attributes.
    fn unparsed(&mut self, stream: &TokenStream) {
        let tokens = tokens::flatten(stream.clone());
        let mut at = 0;
        while at < tokens.len() {
            let (start, mut path) = (at, vec![tokens[at].text.clone()]);
            while at + 2 < tokens.len() && tokens[at + 1].text == "::" {
                path.push(tokens[at + 2].text.clone());
                at += 2;
            }
            if path.len() > 1 {
                self.mention(path, None, tokens[start].place.start);
            }
            at += 1;
        }
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let line = signature.fn_token.span.start().line;
        let lines = block.brace_token.span.close().end().line - line + 1;
        self.functions.push((signature.ident.to_string(), line, lines));
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        let inner = child(&self.module, &item.ident.to_string());
        let in_test = self.in_test(item.mod_token.span.start());
        if item.content.is_some() {
            self.modules.push(inner.clone());
        } else if in_test {
            self.test_modules.push(inner.clone());
        }
        let outer = std::mem::replace(&mut self.module, inner);
        visit::visit_item_mod(self, item);
        self.module = outer;
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&[], &item.tree);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let (Some(first), true) = (path.segments.first(), path.segments.len() > 1) {
            let names = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mention(names, None, first.ident.span().start());
        }
        visit::visit_path(self, path);
    }

    /// Skips `pub(in path)`, which names no item.
    fn visit_vis_restricted(&mut self, _: &'ast syn::VisRestricted) {}

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        visit::visit_macro(self, item);
        self.unparsed(&item.tokens);
    }

    fn visit_meta_list(&mut self, list: &'ast syn::MetaList) {
        self.unparsed(&list.tokens);
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }
}

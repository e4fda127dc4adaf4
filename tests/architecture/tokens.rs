//! The tokens of a source text, as `proc_macro2` splits it, with the items below an attribute.

use std::ops::Range;

use proc_macro2::{Delimiter, LineColumn, Spacing, Span, TokenStream, TokenTree};

/// A token: an identifier, a literal, `::` or one other character.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) place: Range<LineColumn>,
}

/// Returns the tokens of `stream` with those inside brackets, in the order of the text.
pub(crate) fn flatten(stream: TokenStream) -> Vec<Token> {
    let mut tokens = Vec::new();
    append(stream, &mut tokens);
    tokens
}

fn append(stream: TokenStream, tokens: &mut Vec<Token>) {
    let mut joint = false;
    for tree in stream {
        let colon = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == ':');
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                tokens.push(token(open, group.span_open()));
                append(group.stream(), tokens);
                tokens.push(token(close, group.span_close()));
            }
            TokenTree::Punct(punct) => {
                match tokens.last_mut() {
                    Some(last) if colon && joint => last.text.push(':'),
                    _ => tokens.push(token(&punct.to_string(), punct.span())),
                }
                joint = colon && !joint && punct.spacing() == Spacing::Joint;
                continue;
            }
            TokenTree::Ident(ident) => tokens.push(token(&ident.to_string(), ident.span())),
            TokenTree::Literal(literal) => tokens.push(token(&literal.to_string(), literal.span())),
        }
        joint = false;
    }
}

fn token(text: &str, span: Span) -> Token {
    Token { text: text.to_owned(), place: span.start()..span.end() }
}

/// Returns the numbers of the tokens where `pattern` begins: tokens with blanks between them.
pub(crate) fn find(tokens: &[Token], pattern: &str) -> Vec<usize> {
    let words: Vec<&str> = pattern.split(' ').collect();
    let windows = tokens.windows(words.len()).enumerate();
    let same =
        |window: &[Token]| window.iter().zip(&words).all(|(token, word)| token.text == *word);
    windows.filter(|(_, window)| same(window)).map(|(at, _)| at).collect()
}

/// Returns the places of the items and statements below each attribute that begins with `pattern`.
pub(crate) fn below_attribute(tokens: &[Token], pattern: &str) -> Vec<Range<LineColumn>> {
    let starts = find(tokens, &format!("# [ {pattern}"));
    starts.iter().map(|at| tokens[*at].place.start..item_end(&tokens[*at..])).collect()
}

/// Returns where the first item of `tokens` ends: after its last `}` or `;`.
fn item_end(tokens: &[Token]) -> LineColumn {
    let mut depth = 0_usize;
    let last = tokens.iter().find(|token| {
        match token.text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(token.text.as_str(), "}" | ";")
    });
    last.map_or(LineColumn { line: usize::MAX, column: 0 }, |token| token.place.end)
}

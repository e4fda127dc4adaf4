//! Just enough of Rust's lexical grammar to tell code from comments and literals.

use std::iter::Peekable;
use std::str::Chars;

/// A token of code: an identifier, a number, `::` or one other character. A literal is `""`.
#[derive(Debug)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
}

/// The tokens and the comments of a file.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) tokens: Vec<Token>,
    pub(crate) comments: Vec<Token>,
}

impl Source {
    /// Returns the text of token number `index`, or an empty text beyond the end.
    pub(crate) fn text(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |token| &token.text)
    }

    /// Returns the line of token number `index`, or 0 beyond the end.
    pub(crate) fn line(&self, index: usize) -> usize {
        self.tokens.get(index).map_or(0, |token| token.line)
    }

    /// Returns true if the tokens from `index` on are `words`.
    pub(crate) fn reads(&self, index: usize, words: &[&str]) -> bool {
        words.iter().enumerate().all(|(offset, word)| self.text(index + offset) == *word)
    }
}

struct Lexer<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
    source: Source,
}

/// Splits `text` into tokens and comments.
pub(crate) fn lex(text: &str) -> Source {
    let mut lexer = Lexer { rest: text.chars().peekable(), line: 1, source: Source::default() };
    while lexer.step() {}
    lexer.source
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.next();
        self.line += usize::from(c == Some('\n'));
        c
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().copied()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.next();
        }
        found
    }

    fn push(&mut self, text: impl Into<String>) {
        self.source.tokens.push(Token { text: text.into(), line: self.line });
    }

    fn step(&mut self) -> bool {
        let Some(c) = self.next() else { return false };
        match c {
            '/' if self.peek() == Some('/') => self.line_comment(),
            '/' if self.peek() == Some('*') => self.block_comment(),
            '"' => self.string(),
            '\'' => self.quote(),
            ':' if self.eat(':') => self.push("::"),
            c if c.is_whitespace() => {}
            c if c == '_' || c.is_alphanumeric() => self.word(c),
            c => self.push(c),
        }
        true
    }

    fn line_comment(&mut self) {
        let line = self.line;
        let mut text = String::new();
        while self.peek().is_some_and(|c| c != '\n') {
            text.extend(self.next());
        }
        self.source.comments.push(Token { text, line });
    }

    fn block_comment(&mut self) {
        let (line, mut depth, mut text) = (self.line, 0_usize, String::from("/"));
        while let Some(c) = self.next() {
            match (text.chars().last(), c) {
                (Some('/'), '*') => depth += 1,
                (Some('*'), '/') => depth -= 1,
                _ => {}
            }
            // Both characters of a pair are consumed together, so that `/*/` only opens a comment.
            text.push(c);
            if depth == 0 {
                break;
            }
            if text.ends_with("/*") || text.ends_with("*/") {
                text.push(' ');
            }
        }
        self.source.comments.push(Token { text, line });
    }

    fn string(&mut self) {
        while let Some(c) = self.next() {
            match c {
                '\\' => _ = self.next(),
                '"' => break,
                _ => {}
            }
        }
        self.push("\"\"");
    }

    fn raw_string(&mut self, hashes: usize) {
        let end = format!("\"{}", "#".repeat(hashes));
        let mut text = String::new();
        while let Some(c) = self.next() {
            text.push(c);
            if text.ends_with(&end) {
                break;
            }
        }
        self.push("\"\"");
    }

    /// Reads a character literal, or a lifetime, which leaves no token.
    fn quote(&mut self) {
        match self.next() {
            Some('\\') => {
                self.next();
                while self.next().is_some_and(|c| c != '\'') {}
            }
            Some(_) if self.eat('\'') => {}
            _ => {
                while self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
                    self.next();
                }
            }
        }
    }

    fn word(&mut self, first: char) {
        let mut word = String::from(first);
        while self.peek().is_some_and(|c| c == '_' || c.is_alphanumeric()) {
            word.extend(self.next());
        }
        let raw = matches!(word.as_str(), "r" | "br" | "cr");
        let mut hashes = 0;
        while raw && self.eat('#') {
            hashes += 1;
        }
        match self.peek() {
            Some('"') if raw => {
                self.next();
                self.raw_string(hashes);
            }
            // `r#name` is the identifier `name`, which the next step reads.
            _ if hashes > 0 => {}
            // The prefix of `b"..."`, `c"..."` or `b'.'` is part of the literal.
            Some('"' | '\'') if matches!(word.as_str(), "b" | "c") => {}
            _ => self.push(word),
        }
    }
}

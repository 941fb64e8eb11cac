//! What may be written as a path or a host of a route, and what it fits.

use std::sync::Arc;

use thiserror::Error;

/// A path pattern: written out (`/a`), with an open end (`/a/*`, `/a*`), or with parameters (`/user/:id/x`,
/// `/files/*path`).
///
/// `:name` stands for one segment that is not empty, `*` and `*name` for any text, slashes included, even none. A
/// colon within a segment is a colon (`/models/a:generate`).
#[derive(Debug, Clone)]
pub struct Pattern(Arc<Parsed>);

#[derive(Debug)]
struct Parsed {
    text: Box<str>,
    /// The literal beginning, up to the first parameter or `*`.
    beginning: usize,
    /// What follows the beginning, up to the `*`.
    head: Vec<Token>,
    rest: Rest,
    /// What follows the `*`.
    tail: Vec<Token>,
}

#[derive(Debug)]
enum Token {
    Literal(Box<str>),
    /// One segment that is not empty.
    Segment(Arc<str>),
}

#[derive(Debug)]
enum Rest {
    Closed,
    Open,
    Named(Arc<str>),
}

/// Why a text is not a path pattern.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// Requests' paths begin with a slash; begin the pattern with `/` or `*`.
    #[error("a path begins with / or is *")]
    Relative,
    /// The text between `:` or `*` and the next slash is no name.
    #[error("\"{0}\" is no name for a parameter: use letters, digits, _ and -")]
    Name(String),
    /// Use `*` at the end, or as the beginning of a segment.
    #[error("* is only allowed at the beginning of a segment or at the end")]
    Star,
    /// A second `*`.
    #[error("only one * is allowed")]
    Stars,
    /// Two parameters have the same name.
    #[error("the parameter {0} occurs twice")]
    Twice(String),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// The text begins with neither `/` nor `*`, has two `*` or one within a segment, or a parameter without a proper
    /// name.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if !text.starts_with(['/', '*']) {
            return Err(PatternError::Relative);
        }
        let mut parsed = Parsed {
            text: text.into(),
            beginning: 0,
            head: Vec::new(),
            rest: Rest::Closed,
            tail: Vec::new(),
        };
        let mut names: Vec<&str> = Vec::new();
        let mut literal = String::new();
        let mut literal_only = true;
        let mut segments = text.split('/').peekable();
        let mut first = true;
        while let Some(segment) = segments.next() {
            // The slash before a segment belongs to the literal.
            if !std::mem::take(&mut first) {
                literal.push('/');
            }
            let last = segments.peek().is_none();
            let parameter = segment.strip_prefix(':');
            let star = segment.find('*');
            if parameter.is_none() && star.is_none() {
                literal.push_str(segment);
                continue;
            }
            let before = match star {
                Some(position) if parameter.is_none() => &segment[..position],
                _ => "",
            };
            literal.push_str(before);
            if literal_only {
                parsed.beginning = literal.len();
                literal.clear();
                literal_only = false;
            } else {
                parsed.push_literal(&mut literal);
            }
            if let Some(name) = parameter {
                let name = checked(name, &mut names)?;
                parsed.push(Token::Segment(name.into()));
                continue;
            }
            let name = &segment[before.len() + 1..];
            if name.contains('*') || !matches!(parsed.rest, Rest::Closed) {
                return Err(PatternError::Stars);
            }
            let open_end = last && name.is_empty();
            if !before.is_empty() && !open_end {
                return Err(PatternError::Star);
            }
            parsed.rest = if name.is_empty() {
                Rest::Open
            } else {
                Rest::Named(checked(name, &mut names)?.into())
            };
        }
        if literal_only {
            parsed.beginning = text.len();
        } else {
            parsed.push_literal(&mut literal);
        }
        Ok(Pattern(Arc::new(parsed)))
    }

    /// The pattern as it was written.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Whether the pattern fits a path.
    pub fn fits(&self, path: &str) -> bool {
        self.walk(path, |_, _| ())
    }

    /// The named parts of a path that fits.
    pub(super) fn params(&self, path: &str) -> Vec<(Arc<str>, String)> {
        let mut params = Vec::new();
        let fits = self.walk(path, |name, value| params.push((name.clone(), value.to_owned())));
        if !fits {
            params.clear();
        }
        params
    }

    /// Whether only one path fits.
    pub(super) fn is_exact(&self) -> bool {
        self.0.head.is_empty() && matches!(self.0.rest, Rest::Closed)
    }

    /// The literal beginning of the pattern: every path that fits begins with it.
    pub(super) fn beginning(&self) -> &[u8] {
        self.literal_beginning().as_bytes()
    }

    fn literal_beginning(&self) -> &str {
        // Parsing measured it in this text.
        self.0.text.get(..self.0.beginning).unwrap_or_default()
    }

    /// Tells each parameter and its value; the answer is whether the pattern fits.
    ///
    /// What stands before the `*` is read from the left and what stands behind it from the right, so there is never
    /// more than one way to fit, and no way back.
    fn walk<'p>(&'p self, path: &str, mut param: impl FnMut(&'p Arc<str>, &str)) -> bool {
        let Parsed { head, rest, tail, .. } = &*self.0;
        let Some(mut path) = path.strip_prefix(self.literal_beginning()) else {
            return false;
        };
        for token in head {
            path = match token {
                Token::Literal(literal) => match path.strip_prefix(&**literal) {
                    Some(rest) => rest,
                    None => return false,
                },
                Token::Segment(name) => {
                    let (value, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
                    if value.is_empty() {
                        return false;
                    }
                    param(name, value);
                    rest
                }
            };
        }
        let name = match rest {
            Rest::Closed => return path.is_empty(),
            Rest::Open => None,
            Rest::Named(name) => Some(name),
        };
        let mut values = Vec::new();
        for token in tail.iter().rev() {
            path = match token {
                Token::Literal(literal) => match path.strip_suffix(&**literal) {
                    Some(rest) => rest,
                    None => return false,
                },
                Token::Segment(name) => {
                    let (rest, value) = path.split_at(path.rfind('/').map_or(0, |slash| slash + 1));
                    if value.is_empty() {
                        return false;
                    }
                    values.push((name, value));
                    rest
                }
            };
        }
        if let Some(name) = name {
            param(name, path);
        }
        for (name, value) in values.into_iter().rev() {
            param(name, value);
        }
        true
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Pattern) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for Pattern {}

impl Parsed {
    fn push(&mut self, token: Token) {
        match self.rest {
            Rest::Closed => self.head.push(token),
            Rest::Open | Rest::Named(_) => self.tail.push(token),
        }
    }

    fn push_literal(&mut self, literal: &mut String) {
        if !literal.is_empty() {
            self.push(Token::Literal(std::mem::take(literal).into()));
        }
    }
}

/// A host name, written out (`api.example.com`) or with a leading wildcard (`*.example.com`). Case does not matter.
///
/// The `*` stands for any text, dots included: `*.example.com` fits `a.b.example.com`, but not `example.com`, and `*`
/// alone fits every host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostPattern {
    text: Box<str>,
    /// The literal part in lower case, last byte first.
    reversed: Box<[u8]>,
    wildcard: bool,
}

/// Why a text is not a host.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HostPatternError {
    /// Name a host, or leave the host away where any will do.
    #[error("a host needs a name; leave it away where any host will do")]
    Empty,
    /// Only letters, digits and `-._[]:` are allowed, with `*` as the very first character only.
    #[error("{0:?} is not allowed in a host: use letters, digits, -._[]: and a leading *")]
    Character(char),
}

impl HostPattern {
    /// Reads a host.
    ///
    /// # Errors
    /// The text is empty, or has a character that no host has.
    pub fn parse(text: &str) -> Result<HostPattern, HostPatternError> {
        let (wildcard, name) = match text.strip_prefix('*') {
            Some(name) => (true, name),
            None => (false, text),
        };
        if text.is_empty() {
            return Err(HostPatternError::Empty);
        }
        let allowed = |character: char| character.is_ascii_alphanumeric() || "-._[]:".contains(character);
        if let Some(character) = name.chars().find(|character| !allowed(*character)) {
            return Err(HostPatternError::Character(character));
        }
        Ok(HostPattern {
            text: text.to_ascii_lowercase().into(),
            reversed: name.bytes().rev().map(|byte| byte.to_ascii_lowercase()).collect(),
            wildcard,
        })
    }

    /// The host in lower case.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The literal part in lower case, last byte first.
    pub(super) fn reversed(&self) -> &[u8] {
        &self.reversed
    }

    pub(super) fn is_wildcard(&self) -> bool {
        self.wildcard
    }
}

/// A name that is proper and new.
fn checked<'a>(name: &'a str, names: &mut Vec<&'a str>) -> Result<&'a str, PatternError> {
    let proper = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || !name.bytes().all(proper) {
        return Err(PatternError::Name(name.to_owned()));
    }
    if names.contains(&name) {
        return Err(PatternError::Twice(name.to_owned()));
    }
    names.push(name);
    Ok(name)
}

//! Words, numbers and signs of a formula.

use super::CostError;

/// A word, number or sign.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Number(f64),
    /// A name, with dots where it has parts: `math.max`.
    Name(String),
    Sign(&'static str),
}

/// A token and where it begins, in characters from 1.
pub(super) type Placed = (Token, usize);

/// Longer ones first.
const SIGNS: [&str; 15] = [
    "<=", ">=", "~=", "==", "<", ">", "+", "-", "*", "/", "%", "^", "(", ")", ",",
];

/// Cuts a formula into tokens. What follows `--` on a line is a remark, as in Lua.
pub(super) fn tokens(text: &str) -> Result<Vec<Placed>, CostError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if let Some(remark) = rest.strip_prefix("--") {
            rest = remark
                .find('\n')
                .and_then(|end| remark.get(end..))
                .unwrap_or_default();
            continue;
        }
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let at = text.len() - rest.len();
        let at = text.get(..at).unwrap_or_default().chars().count() + 1;
        let (token, length) = if first.is_ascii_digit() || first == '.' {
            let length = length_while(rest, is_part_of_number);
            let (written, _) = rest.split_at(length);
            let number = number(written).ok_or_else(|| unexpected(written, at))?;
            (Token::Number(number), length)
        } else if first.is_ascii_alphabetic() || first == '_' {
            let length = length_while(rest, |_, character| {
                character.is_ascii_alphanumeric() || matches!(character, '_' | '.')
            });
            let (name, _) = rest.split_at(length);
            (Token::Name(name.to_owned()), length)
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign = sign.ok_or_else(|| unexpected(&first.to_string(), at))?;
            (Token::Sign(sign), sign.len())
        };
        tokens.push((token, at));
        rest = rest.get(length..).unwrap_or_default();
    }
}

pub(super) fn unexpected(token: &str, at: usize) -> CostError {
    CostError::Unexpected {
        token: token.chars().take(40).collect(),
        at,
    }
}

/// Bytes of the beginning of `text` whose characters, each given with the one before it, are all accepted.
fn length_while(text: &str, accepts: impl Fn(Option<char>, char) -> bool) -> usize {
    let mut before = None;
    for (at, character) in text.char_indices() {
        if !accepts(before, character) {
            return at;
        }
        before = Some(character);
    }
    text.len()
}

/// As Lua reads numbers: as far as letters go, so that `1x` is a mistake and not two tokens.
fn is_part_of_number(before: Option<char>, character: char) -> bool {
    let is_sign_of_exponent = matches!(character, '+' | '-') && matches!(before, Some('e' | 'E'));
    character.is_ascii_alphanumeric() || matches!(character, '.' | '_') || is_sign_of_exponent
}

fn number(written: &str) -> Option<f64> {
    let lower = written.to_ascii_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        // Precise up to 2^53, as all numbers here.
        #[expect(clippy::cast_precision_loss, reason = "all numbers are floating-point")]
        return u64::from_str_radix(digits, 16).ok().map(|number| number as f64);
    }
    // Rust reads words such as `inf`, too, but they do not begin with a digit or a dot.
    lower.parse().ok()
}

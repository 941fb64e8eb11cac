//! Reads a formula into steps, by the precedence of its signs.

use super::lexer::{Placed, Token, tokens, unexpected};
use super::program::{Arithmetic, Comparison, Function, Op};
use super::{CostError, MAX_DEPTH};

/// The steps of a formula, and the names of the counts it asks for.
pub(super) fn parse(text: &str) -> Result<(Vec<Op>, Vec<String>), CostError> {
    let mut parser = Parser {
        tokens: tokens(text)?.into_iter().peekable(),
        ops: Vec::new(),
        names: Vec::new(),
        depth: 0,
    };
    parser.above(0)?;
    match parser.tokens.next() {
        None => Ok((parser.ops, parser.names)),
        Some(left_over) => Err(no_place(&left_over)),
    }
}

struct Parser {
    tokens: std::iter::Peekable<std::vec::IntoIter<Placed>>,
    ops: Vec<Op>,
    names: Vec<String>,
    depth: usize,
}

/// What stands between two values.
#[derive(Clone, Copy)]
enum Between {
    Or,
    And,
    Compare(Comparison),
    Arithmetic(Arithmetic),
}

/// Binds tighter than every sign between two values but the power.
const SIGN_BEFORE: u8 = 6;

impl Between {
    fn of(token: &Token) -> Option<Between> {
        Some(match token {
            Token::Number(_) => return None,
            Token::Name(name) => match name.as_str() {
                "or" => Between::Or,
                "and" => Between::And,
                _ => return None,
            },
            Token::Sign(sign) => match *sign {
                "<" => Between::Compare(Comparison::Less),
                "<=" => Between::Compare(Comparison::LessOrEqual),
                ">" => Between::Compare(Comparison::Greater),
                ">=" => Between::Compare(Comparison::GreaterOrEqual),
                "==" => Between::Compare(Comparison::Equal),
                "~=" => Between::Compare(Comparison::NotEqual),
                "+" => Between::Arithmetic(Arithmetic::Add),
                "-" => Between::Arithmetic(Arithmetic::Subtract),
                "*" => Between::Arithmetic(Arithmetic::Multiply),
                "/" => Between::Arithmetic(Arithmetic::Divide),
                "%" => Between::Arithmetic(Arithmetic::Modulo),
                "^" => Between::Arithmetic(Arithmetic::Power),
                _ => return None,
            },
        })
    }

    /// Larger binds tighter.
    fn strength(self) -> u8 {
        match self {
            Between::Or => 1,
            Between::And => 2,
            Between::Compare(_) => 3,
            Between::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => 4,
            Between::Arithmetic(Arithmetic::Multiply | Arithmetic::Divide | Arithmetic::Modulo) => 5,
            Between::Arithmetic(Arithmetic::Power) => 7,
        }
    }

    /// How tight signs must bind that belong to the value on its right.
    fn right(self) -> u8 {
        match self {
            // `2 ^ 3 ^ 2` is `2 ^ (3 ^ 2)`.
            Between::Arithmetic(Arithmetic::Power) => SIGN_BEFORE,
            other => other.strength(),
        }
    }
}

impl Parser {
    /// Reads a value and all that is bound to it tighter than `strength`.
    fn above(&mut self, strength: u8) -> Result<(), CostError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(CostError::TooDeep);
        }
        self.value()?;
        while let Some(between) = self
            .tokens
            .peek()
            .and_then(|(token, _)| Between::of(token))
            .filter(|between| between.strength() > strength)
        {
            self.tokens.next();
            // Where the right side may be left out, the step that says so is known only behind it.
            let place = self.ops.len();
            if matches!(between, Between::And | Between::Or) {
                self.ops.push(Op::And(0));
            }
            self.above(between.right())?;
            let end = self.ops.len();
            let step = match between {
                Between::Or => Op::Or(end),
                Between::And => Op::And(end),
                Between::Compare(kind) => {
                    self.ops.push(Op::Compare(kind));
                    continue;
                }
                Between::Arithmetic(kind) => {
                    self.ops.push(Op::Arithmetic(kind));
                    continue;
                }
            };
            if let Some(kept) = self.ops.get_mut(place) {
                *kept = step;
            }
        }
        self.depth -= 1;
        Ok(())
    }

    fn value(&mut self) -> Result<(), CostError> {
        let placed = self.tokens.next().ok_or(CostError::EndsEarly)?;
        match &placed.0 {
            Token::Number(number) => self.ops.push(Op::Number(*number)),
            Token::Sign("-") => {
                self.above(SIGN_BEFORE)?;
                self.ops.push(Op::Negate);
            }
            Token::Sign("(") => {
                self.above(0)?;
                self.expect(")")?;
            }
            Token::Sign(_) => return Err(no_place(&placed)),
            Token::Name(name) => match name.as_str() {
                "not" => {
                    self.above(SIGN_BEFORE)?;
                    self.ops.push(Op::Not);
                }
                "true" => self.ops.push(Op::Truth(true)),
                "false" => self.ops.push(Op::Truth(false)),
                "math.huge" => self.ops.push(Op::Number(f64::INFINITY)),
                "math.pi" => self.ops.push(Op::Number(std::f64::consts::PI)),
                name if RESERVED.contains(&name) => return Err(no_place(&placed)),
                name if self.next_is("(") => self.call(name)?,
                // Counts have plain names; what has dots would be a member of something.
                name if name.contains('.') || Function::named(name).is_some() => {
                    return Err(no_place(&placed));
                }
                name => self.count(name),
            },
        }
        Ok(())
    }

    fn count(&mut self, name: &str) {
        let known = self.names.iter().position(|known| known == name);
        let place = known.unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        });
        self.ops.push(Op::Count(place));
    }

    fn call(&mut self, name: &str) -> Result<(), CostError> {
        let function = Function::named(name).ok_or_else(|| CostError::NoFunction(name.to_owned()))?;
        self.expect("(")?;
        let mut given = 0;
        if !self.next_is(")") {
            loop {
                self.above(0)?;
                given += 1;
                if !self.next_is(",") {
                    break;
                }
                self.tokens.next();
            }
        }
        self.expect(")")?;
        if !function.takes(given) {
            return Err(CostError::Arguments {
                name: function.name(),
                given,
            });
        }
        self.ops.push(Op::Call(function, given));
        Ok(())
    }

    fn next_is(&mut self, sign: &str) -> bool {
        matches!(self.tokens.peek(), Some((Token::Sign(next), _)) if *next == sign)
    }

    fn expect(&mut self, sign: &'static str) -> Result<(), CostError> {
        match self.tokens.next() {
            Some((Token::Sign(next), _)) if next == sign => Ok(()),
            Some(other) => Err(no_place(&other)),
            None => Err(CostError::EndsEarly),
        }
    }
}

/// Lua's words that are no names.
const RESERVED: [&str; 18] = [
    "and", "break", "do", "else", "elseif", "end", "for", "function", "goto", "if", "in", "local", "nil",
    "or", "repeat", "return", "then", "while",
];

fn no_place((token, at): &Placed) -> CostError {
    match token {
        Token::Number(number) => unexpected(&number.to_string(), *at),
        Token::Name(name) => unexpected(name, *at),
        Token::Sign(sign) => unexpected(sign, *at),
    }
}

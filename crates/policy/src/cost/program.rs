//! A formula as steps on a stack, which is how it is calculated.

use super::CostError;

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Op {
    Number(f64),
    Truth(bool),
    /// The count of this place among the formula's names.
    Count(usize),
    Negate,
    Not,
    Arithmetic(Arithmetic),
    Compare(Comparison),
    /// Goes on behind this step if the value on top is false, and takes it away otherwise.
    And(usize),
    /// Goes on behind this step unless the value on top is false, and takes it away otherwise.
    Or(usize),
    /// Takes so many arguments.
    Call(Function, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
    Power,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Ceil,
    Exp,
    Floor,
    Fmod,
    Log,
    Max,
    Min,
    Pow,
    Sqrt,
}

#[derive(Clone, Copy, PartialEq)]
enum Value {
    Number(f64),
    Truth(bool),
}

impl Value {
    /// Everything but `false` counts as true, 0 too.
    fn holds(self) -> bool {
        self != Value::Truth(false)
    }

    fn number(self, for_what: &'static str) -> Result<f64, CostError> {
        match self {
            Value::Number(number) => Ok(number),
            Value::Truth(_) => Err(CostError::NeedsNumbers(for_what)),
        }
    }
}

/// Calculates. Jumps only go forward, so it ends.
pub(super) fn run(ops: &[Op], counts: &[f64]) -> Result<f64, CostError> {
    let mut stack: Vec<Value> = Vec::with_capacity(8);
    let mut at = 0;
    while let Some(op) = ops.get(at) {
        at += 1;
        let value = match op {
            Op::Number(number) => Value::Number(*number),
            Op::Truth(truth) => Value::Truth(*truth),
            Op::Count(place) => Value::Number(counts.get(*place).copied().unwrap_or(0.0)),
            Op::Negate => Value::Number(-pop(&mut stack)?.number("-")?),
            Op::Not => Value::Truth(!pop(&mut stack)?.holds()),
            Op::Arithmetic(kind) => {
                let (right, left) = (pop(&mut stack)?, pop(&mut stack)?);
                let sign = kind.sign();
                Value::Number(kind.of(left.number(sign)?, right.number(sign)?))
            }
            Op::Compare(kind) => {
                let (right, left) = (pop(&mut stack)?, pop(&mut stack)?);
                Value::Truth(kind.of(left, right)?)
            }
            Op::And(end) | Op::Or(end) => {
                let value = pop(&mut stack)?;
                if value.holds() == matches!(op, Op::Or(_)) {
                    at = *end;
                    value
                } else {
                    continue;
                }
            }
            Op::Call(function, arguments) => {
                let first = stack.len().saturating_sub(*arguments);
                let mut given = stack.split_off(first).into_iter();
                let mut next = || {
                    given
                        .next()
                        .map(|value| value.number(function.name()))
                        .transpose()
                };
                let Some(first) = next()? else {
                    return Err(CostError::EndsEarly);
                };
                let mut value = function.of_one(first);
                while let Some(further) = next()? {
                    value = function.of_two(value, further);
                }
                Value::Number(value)
            }
        };
        stack.push(value);
    }
    match pop(&mut stack)? {
        Value::Number(number) => Ok(number),
        Value::Truth(_) => Err(CostError::NoNumber),
    }
}

/// What was parsed never takes more than there is.
fn pop(stack: &mut Vec<Value>) -> Result<Value, CostError> {
    stack.pop().ok_or(CostError::EndsEarly)
}

impl Arithmetic {
    fn sign(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Modulo => "%",
            Arithmetic::Power => "^",
        }
    }

    fn of(self, left: f64, right: f64) -> f64 {
        match self {
            Arithmetic::Add => left + right,
            Arithmetic::Subtract => left - right,
            Arithmetic::Multiply => left * right,
            Arithmetic::Divide => left / right,
            // As in Lua, the rest has the sign of the divisor.
            Arithmetic::Modulo => left - (left / right).floor() * right,
            Arithmetic::Power => left.powf(right),
        }
    }
}

impl Comparison {
    fn of(self, left: Value, right: Value) -> Result<bool, CostError> {
        let numbers = |sign| Ok((left.number(sign)?, right.number(sign)?));
        Ok(match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => numbers("<").map(|(left, right)| left < right)?,
            Comparison::LessOrEqual => numbers("<=").map(|(left, right)| left <= right)?,
            Comparison::Greater => numbers(">").map(|(left, right)| left > right)?,
            Comparison::GreaterOrEqual => numbers(">=").map(|(left, right)| left >= right)?,
        })
    }
}

impl Function {
    /// The function of a name, with or without `math.` where APISIX knows it without.
    pub(super) fn named(name: &str) -> Option<Function> {
        Some(match name {
            "abs" | "math.abs" => Function::Abs,
            "ceil" | "math.ceil" => Function::Ceil,
            "floor" | "math.floor" => Function::Floor,
            "max" | "math.max" => Function::Max,
            "min" | "math.min" => Function::Min,
            "math.exp" => Function::Exp,
            "math.fmod" => Function::Fmod,
            "math.log" => Function::Log,
            "math.pow" => Function::Pow,
            "math.sqrt" => Function::Sqrt,
            _ => return None,
        })
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Function::Abs => "abs",
            Function::Ceil => "ceil",
            Function::Exp => "math.exp",
            Function::Floor => "floor",
            Function::Fmod => "math.fmod",
            Function::Log => "math.log",
            Function::Max => "max",
            Function::Min => "min",
            Function::Pow => "math.pow",
            Function::Sqrt => "math.sqrt",
        }
    }

    /// Whether it can be given so many arguments.
    pub(super) fn takes(self, arguments: usize) -> bool {
        match self {
            Function::Max | Function::Min => arguments > 0,
            Function::Fmod | Function::Pow => arguments == 2,
            _ => arguments == 1,
        }
    }

    fn of_one(self, value: f64) -> f64 {
        match self {
            Function::Abs => value.abs(),
            Function::Ceil => value.ceil(),
            Function::Exp => value.exp(),
            Function::Floor => value.floor(),
            Function::Log => value.ln(),
            Function::Sqrt => value.sqrt(),
            // These are about two.
            Function::Fmod | Function::Max | Function::Min | Function::Pow => value,
        }
    }

    fn of_two(self, first: f64, second: f64) -> f64 {
        match self {
            Function::Fmod => first % second,
            Function::Max => first.max(second),
            Function::Min => first.min(second),
            Function::Pow => first.powf(second),
            // These are about one.
            Function::Abs
            | Function::Ceil
            | Function::Exp
            | Function::Floor
            | Function::Log
            | Function::Sqrt => first,
        }
    }
}

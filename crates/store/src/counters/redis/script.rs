//! The scripts, and how they are called.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use redis::{Cmd, ToRedisArgs, cmd};

/// Asks limits.
pub(super) static DECIDE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("window.lua"), include_str!("decide.lua"))));

/// Writes charges.
pub(super) static CHARGE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("window.lua"), include_str!("charge.lua"))));

/// Asks for places.
pub(super) static ENTER: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("enter.lua")));

/// A script, and the hash by which servers know it.
pub(super) struct Script {
    text: &'static str,
    hash: String,
}

/// An argument of a script.
#[derive(Clone, Debug)]
pub(super) enum Argument {
    Number(u64),
    Text(String),
    Word(&'static str),
}

impl Script {
    fn new(text: &'static str) -> Self {
        // Redis names scripts by SHA-1; nothing depends on its strength.
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
        Script {
            text,
            hash: hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }

    pub(super) fn by_hash(&self, keys: &[String], arguments: &[Argument]) -> Cmd {
        call("EVALSHA", &self.hash, keys, arguments)
    }

    pub(super) fn in_full(&self, keys: &[String], arguments: &[Argument]) -> Cmd {
        call("EVAL", self.text, keys, arguments)
    }
}

fn call(command: &str, script: &str, keys: &[String], arguments: &[Argument]) -> Cmd {
    let mut call = cmd(command);
    call.arg(script).arg(keys.len()).arg(keys).arg(arguments);
    call
}

impl ToRedisArgs for Argument {
    fn write_redis_args<W: ?Sized + redis::RedisWrite>(&self, out: &mut W) {
        match self {
            Argument::Number(number) => number.write_redis_args(out),
            Argument::Text(text) => text.write_redis_args(out),
            Argument::Word(word) => word.write_redis_args(out),
        }
    }
}

impl From<u64> for Argument {
    fn from(number: u64) -> Self {
        Argument::Number(number)
    }
}

impl From<String> for Argument {
    fn from(text: String) -> Self {
        Argument::Text(text)
    }
}

impl From<&'static str> for Argument {
    fn from(word: &'static str) -> Self {
        Argument::Word(word)
    }
}

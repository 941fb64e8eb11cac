//! Records in Redis, where several gateways share them. Redis itself lets them expire.

use std::sync::Arc;
use std::time::Duration;

use redis::{Value, cmd};

use super::record::{Key, Name, Record, Sealing};
use super::{ResponseStoreError, Unreadable};
use crate::counters::redis::Redis;

/// How often a record is written when Redis does not take it.
const TRIES: u32 = 3;

/// How long is waited before the next try; three times as long before the one after it.
const PAUSE: Duration = Duration::from_millis(150);

/// How long is waited for a record that is not there: another gateway may be about to write it, because records are written
/// when their answers have ended, and clients are quick.
const SECOND_LOOK: Duration = Duration::from_millis(100);

/// Records in Redis.
pub(super) struct Remote {
    pub(super) redis: Arc<Redis>,
    pub(super) sealing: Sealing,
}

impl Remote {
    /// Reads a record.
    pub(super) async fn get(&self, name: &Name) -> Result<Option<Record>, ResponseStoreError> {
        let key = name.key().in_redis();
        let mut command = cmd("GET");
        command.arg(&key);
        let mut answer = self.redis.command(&key, &command).await?;
        if answer == Value::Nil {
            tokio::time::sleep(SECOND_LOOK).await;
            answer = self.redis.command(&key, &command).await?;
        }
        match answer {
            Value::Nil => Ok(None),
            Value::BulkString(written) => match self.sealing.open(name, &written) {
                Some(record) => Ok(Some(record)),
                None => Err(Unreadable.into()),
            },
            _ => Err(Unreadable.into()),
        }
    }

    pub(super) async fn put(
        &self,
        name: &Name,
        record: &Record,
        ttl_s: u64,
    ) -> Result<(), ResponseStoreError> {
        let plain = record.encode().ok_or(Unreadable)?;
        let written = self.sealing.seal(name, &plain)?;
        let key = name.key().in_redis();
        let mut command = cmd("SET");
        command.arg(&key).arg(written).arg("EX").arg(ttl_s);
        self.again(&key, &command).await.map(drop)
    }

    /// Keeps a record for longer, if it is there.
    pub(super) async fn renew(&self, key: &Key, ttl_s: u64) -> Result<(), ResponseStoreError> {
        let key = key.in_redis();
        let mut command = cmd("EXPIRE");
        command.arg(&key).arg(ttl_s);
        self.again(&key, &command).await.map(drop)
    }

    /// Removes a record. Whether there was one.
    pub(super) async fn delete(&self, key: &Key) -> Result<bool, ResponseStoreError> {
        let key = key.in_redis();
        let mut command = cmd("DEL");
        command.arg(&key);
        Ok(self.again(&key, &command).await? == Value::Int(1))
    }

    /// Sends a command until Redis does what it says, or it has been tried often enough.
    async fn again(&self, key: &str, command: &redis::Cmd) -> Result<Value, ResponseStoreError> {
        let mut pause = PAUSE;
        for _ in 1..TRIES {
            if let Ok(value) = self.redis.command(key, command).await {
                return Ok(value);
            }
            tokio::time::sleep(pause).await;
            pause *= 3;
        }
        Ok(self.redis.command(key, command).await?)
    }
}

//! Finds the master that sentinels name.

use redis::{FromRedisValue, cmd};

use super::Shared;
use super::link::{Ready, Trouble, open};
use super::settings::Address;

/// A connection to the master, asked of one sentinel after the other.
pub(super) async fn master(shared: &Shared, sentinels: &[Address], name: &str) -> Result<Ready, Trouble> {
    let mut last = Trouble::Lost("there are no sentinels".to_owned());
    for sentinel in sentinels {
        // A sentinel that hangs must not use up the time of those behind it.
        let patience = shared.settings.timeout / 2;
        let found = match tokio::time::timeout(patience, address(shared, sentinel, name)).await {
            Ok(found) => found,
            Err(_) => Err(Trouble::Lost(format!("{sentinel}: no answer in time"))),
        };
        match found {
            Ok(address) => match of_role_master(shared, &address).await {
                Ok(ready) => return Ok(ready),
                Err(trouble) => last = trouble,
            },
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

async fn address(shared: &Shared, sentinel: &Address, name: &str) -> Result<Address, Trouble> {
    let connection = open(shared, sentinel, &shared.sentinel_login()).await?;
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let answer = connection.ask(&command).await?;
    let unknown = || Trouble::Lost(format!("{sentinel}: does not know the master {name}"));
    let (host, port) = Option::<(String, u16)>::from_redis_value(answer)
        .map_err(|_| unknown())?
        .ok_or_else(unknown)?;
    Ok(Address { host, port })
}

/// Connects and makes sure that it is the master: sentinels may tell the old one for a moment.
async fn of_role_master(shared: &Shared, address: &Address) -> Result<Ready, Trouble> {
    let ready = open(shared, address, &shared.login()).await?;
    match ready.ask(&cmd("ROLE")).await? {
        redis::Value::Array(role) if role.first().is_some_and(|role| is_text(role, "master")) => Ok(ready),
        _ => Err(Trouble::NotNow(format!("{address}: is no master any more"))),
    }
}

fn is_text(value: &redis::Value, text: &str) -> bool {
    match value {
        redis::Value::BulkString(bytes) => bytes == text.as_bytes(),
        redis::Value::SimpleString(string) => string == text,
        _ => false,
    }
}

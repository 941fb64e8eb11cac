//! Which node of a cluster has which keys.

use redis::Value;

use super::settings::Address;

/// Slots of a cluster.
const SLOTS: u16 = 16384;

/// Which node has which slots.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct SlotMap(Vec<(u16, u16, Address)>);

impl SlotMap {
    /// Reads the answer to `CLUSTER SLOTS` of a node. `None` if it is not one.
    pub(super) fn read(answer: &Value, asked: &Address) -> Option<Self> {
        let mut ranges = Vec::new();
        for range in array(answer)? {
            let [from, to, master, ..] = array(range)? else {
                return None;
            };
            let [host, port, ..] = array(master)? else {
                return None;
            };
            let host = match host {
                Value::BulkString(host) if !host.is_empty() => String::from_utf8(host.clone()).ok()?,
                // It does not know its own name: the one it was reached by.
                _ => asked.host.clone(),
            };
            let address = Address {
                host,
                port: number(port)?,
            };
            ranges.push((number(from)?, number(to)?, address));
        }
        Some(SlotMap(ranges))
    }

    /// The node that has a slot.
    pub(super) fn node(&self, slot: u16) -> Option<&Address> {
        let (_, _, address) = self
            .0
            .iter()
            .find(|(from, to, _)| (*from..=*to).contains(&slot))?;
        Some(address)
    }

    /// All nodes that have slots.
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Address> {
        self.0.iter().map(|(_, _, address)| address)
    }
}

fn array(value: &Value) -> Option<&[Value]> {
    match value {
        Value::Array(values) => Some(values),
        _ => None,
    }
}

fn number(value: &Value) -> Option<u16> {
    match value {
        Value::Int(number) => u16::try_from(*number).ok(),
        _ => None,
    }
}

/// The slot of a key: of what stands in its first braces, if anything does, else of the whole key.
pub(super) fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = match tag {
        Some((tag, _)) if !tag.is_empty() => tag,
        _ => key,
    };
    crc16(hashed.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, which the specification of Redis Cluster prescribes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 {
                crc << 1
            } else {
                (crc << 1) ^ 0x1021
            };
        }
        crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        assert_eq!(slot("foo"), 12182);
        assert_eq!(slot("{user1000}.following"), slot("{user1000}.followers"));
        assert_eq!(slot("foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS);
        assert_eq!(slot("foo{{bar}}zap"), crc16(b"{bar") % SLOTS);
    }

    #[test]
    fn the_map_tells_the_master_of_each_slot() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: &str, port| Value::Array(vec![text(host), Value::Int(port), text("id")]);
        let range = |from, to, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(from), Value::Int(to)], nodes].concat())
        };
        let answer = Value::Array(vec![
            range(0, 99, vec![node("10.0.0.1", 1), node("10.0.0.2", 2)]),
            range(100, 16383, vec![node("", 3)]),
        ]);
        let asked = Address {
            host: "asked".to_owned(),
            port: 9,
        };
        let map = SlotMap::read(&answer, &asked).unwrap();
        let at = |slot| map.node(slot).map(ToString::to_string);
        assert_eq!(at(99).as_deref(), Some("10.0.0.1:1"));
        assert_eq!(at(100).as_deref(), Some("asked:3"));
        assert_eq!(at(16384), None);
        assert_eq!(SlotMap::read(&Value::Array(vec![Value::Int(1)]), &asked), None);
    }
}

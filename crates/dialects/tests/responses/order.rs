//! The order of a stream's events, checked by a machine that knows nothing but the protocol.

use std::collections::BTreeMap;

use serde_json::Value;

/// Checks names, numbers and order of the events, and that the last one holds what was told before.
pub(crate) fn check(stream: &str) -> Result<(), String> {
    let mut machine = Machine::default();
    let mut name = None;
    for line in stream.lines() {
        if let Some(word) = line.strip_prefix("event: ") {
            name = Some(word.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let event: Value = serde_json::from_str(data).map_err(|error| format!("{error}: {data}"))?;
            if name.take().as_deref() != event["type"].as_str() {
                return Err(format!("the name differs from the type: {event}"));
            }
            machine.step(&event).map_err(|what| format!("{what}: {event}"))?;
        }
    }
    if machine.over {
        Ok(())
    } else {
        Err("no last event".to_owned())
    }
}

#[derive(Default)]
struct Machine {
    number: u64,
    created: bool,
    over: bool,
    open: BTreeMap<u64, Item>,
    done: BTreeMap<u64, Value>,
    begun: u64,
}

#[derive(Default)]
struct Item {
    kind: String,
    id: Value,
    /// The open piece, by the name of its index and the index.
    piece: Option<(&'static str, u64)>,
    /// What its deltas add up to.
    text: String,
    /// Its text was told as a whole.
    told: bool,
    pieces: Vec<Value>,
    arguments: Option<String>,
}

impl Machine {
    fn step(&mut self, event: &Value) -> Result<(), String> {
        let kind = event["type"].as_str().unwrap_or_default();
        if self.over {
            return Err("after the end".to_owned());
        }
        if event["sequence_number"].as_u64() != Some(self.number) {
            return Err(format!("number {} expected", self.number));
        }
        self.number += 1;
        if !self.created && !matches!(kind, "response.created" | "error") {
            return Err("before response.created".to_owned());
        }
        match kind {
            "response.created" if self.created => Err("a second response.created".to_owned()),
            "response.created" => {
                self.created = true;
                Ok(())
            }
            "response.in_progress" | "response.queued" => Ok(()),
            "response.completed" | "response.incomplete" => self.end(&event["response"]),
            "response.failed" | "error" => {
                self.over = true;
                Ok(())
            }
            kind => self.item(kind, event),
        }
    }

    fn end(&mut self, response: &Value) -> Result<(), String> {
        self.over = true;
        if !self.open.is_empty() {
            return Err("items are still open".to_owned());
        }
        let output: Vec<&Value> = self.done.values().collect();
        let told: Vec<&Value> = response["output"].as_array().unwrap().iter().collect();
        if output == told {
            Ok(())
        } else {
            Err(format!("the output is not what was told: {output:?}"))
        }
    }

    fn item(&mut self, kind: &str, event: &Value) -> Result<(), String> {
        let index = event["output_index"].as_u64().ok_or("no output_index")?;
        if kind == "response.output_item.added" {
            if index != self.begun {
                return Err("items do not count up".to_owned());
            }
            self.begun += 1;
            let item = Item {
                kind: event["item"]["type"].as_str().unwrap_or_default().to_owned(),
                id: event["item"]["id"].clone(),
                ..Item::default()
            };
            self.open.insert(index, item);
            return Ok(());
        }
        let item = self.open.get_mut(&index).ok_or("the item is not open")?;
        if kind == "response.output_item.done" {
            item.check_done(&event["item"])?;
            self.open.remove(&index);
            self.done.insert(index, event["item"].clone());
            return Ok(());
        }
        if event["item_id"] != item.id {
            return Err("the id is that of another item".to_owned());
        }
        item.step(kind, event)
    }
}

impl Item {
    fn step(&mut self, kind: &str, event: &Value) -> Result<(), String> {
        let index = ["content_index", "summary_index"]
            .into_iter()
            .find_map(|name| Some((name, event[name].as_u64()?)));
        match kind {
            "response.content_part.added" | "response.reasoning_summary_part.added" => {
                if self.piece.is_some() {
                    return Err("a piece is open".to_owned());
                }
                self.piece = index;
                self.text.clear();
                self.told = false;
            }
            "response.output_text.delta"
            | "response.refusal.delta"
            | "response.reasoning_summary_text.delta"
            | "response.reasoning_text.delta" => {
                self.in_piece(index)?;
                self.text.push_str(event["delta"].as_str().ok_or("no delta")?);
            }
            "response.output_text.annotation.added" => self.in_piece(index)?,
            "response.output_text.done"
            | "response.refusal.done"
            | "response.reasoning_summary_text.done"
            | "response.reasoning_text.done" => {
                self.in_piece(index)?;
                let text = event.get("text").or(event.get("refusal")).and_then(Value::as_str);
                if text != Some(&self.text) {
                    return Err(format!("the deltas add up to {:?}", self.text));
                }
                self.told = true;
            }
            "response.content_part.done" | "response.reasoning_summary_part.done" => {
                if self.piece != index || !self.told {
                    return Err("the piece is not told".to_owned());
                }
                self.piece = None;
                self.pieces.push(event["part"].clone());
            }
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                let piece = event["delta"].as_str().ok_or("no delta")?;
                self.text.push_str(piece);
            }
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                let whole = event
                    .get("arguments")
                    .or(event.get("input"))
                    .and_then(Value::as_str);
                self.arguments = whole.map(str::to_owned);
                if whole != Some(&self.text) && !(self.text.is_empty() && whole == Some("{}")) {
                    return Err(format!("the deltas add up to {:?}", self.text));
                }
            }
            _ => return Err("an unknown event".to_owned()),
        }
        Ok(())
    }

    fn in_piece(&self, index: Option<(&'static str, u64)>) -> Result<(), String> {
        if self.piece.is_some() && self.piece == index && !self.told {
            Ok(())
        } else {
            Err("the piece is not open".to_owned())
        }
    }

    fn check_done(&self, item: &Value) -> Result<(), String> {
        if self.piece.is_some() {
            return Err("a piece is still open".to_owned());
        }
        let told = match self.kind.as_str() {
            "message" => item["content"].as_array() == Some(&self.pieces),
            "reasoning" => item["summary"].as_array() == Some(&self.pieces),
            "function_call" => item["arguments"].as_str() == self.arguments.as_deref(),
            "custom_tool_call" => item["input"].as_str() == self.arguments.as_deref(),
            _ => true,
        };
        if told && item["id"] == self.id {
            Ok(())
        } else {
            Err("the item is not what was told".to_owned())
        }
    }
}

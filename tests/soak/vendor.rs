//! The simulated vendor: it speaks two dialects, does what the plan says, and keeps its own books.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use serde_json::{Value, json};

use super::plan::{Call, Client, Dialect, Plan, Used, Vendor as Does};

/// What the vendor has seen of an attempt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// What it has told of what was used, with a complete answer.
    pub told: Option<Used>,
    /// What it has told at the beginning of an answer that was cut.
    pub begun: Option<Used>,
    /// Whether it has worked on the request, and not refused it.
    pub works: bool,
    /// Whether the other side closed the connection before the answer was complete.
    pub is_cut: bool,
    /// Whether it refused.
    pub refused: Option<u16>,
}

/// The vendor's books: what it has seen of each call, attempt by attempt.
#[derive(Default)]
pub struct Books {
    attempts: Mutex<Vec<Vec<(Dialect, Seen)>>>,
    changed: Condvar,
}

impl Books {
    fn write<T>(&self, number: usize, change: impl FnOnce(&mut Vec<(Dialect, Seen)>) -> T) -> T {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if attempts.len() <= number {
            attempts.resize_with(number + 1, Vec::new);
        }
        let value = change(attempts.get_mut(number).expect("was made"));
        self.changed.notify_all();
        value
    }

    /// Waits until the vendor has the request of a call.
    pub fn wait_for(&self, number: usize) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        while attempts.get(number).is_none_or(Vec::is_empty) {
            attempts = self
                .changed
                .wait(attempts)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What was seen of a call.
    pub fn of(&self, number: usize) -> Vec<(Dialect, Seen)> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.get(number).cloned().unwrap_or_default()
    }
}

/// Starts the vendor.
pub fn start(plan: Plan) -> (SocketAddr, Arc<Books>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let books = Arc::new(Books::default());
    let kept = books.clone();
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let books = kept.clone();
            thread::spawn(move || serve(socket, plan, &books));
        }
    });
    (address, books)
}

/// Serves a connection until the other side closes it, or an answer was cut.
fn serve(mut socket: TcpStream, plan: Plan, books: &Books) {
    let _ = socket.set_nodelay(true);
    let mut read = Vec::new();
    while let Some((path, body)) = request(&mut socket, &mut read) {
        let dialect = match path.contains("/messages") {
            true => Dialect::Messages,
            false => Dialect::Chat,
        };
        let number = Call::number_in(&body).expect("every request is of a call");
        let call = plan.call(number);
        let place = books.write(number, |attempts| {
            attempts.push((dialect, Seen::default()));
            attempts.len() - 1
        });
        let mut attempt = Attempt {
            socket: &mut socket,
            call: &call,
            dialect,
            place,
            seen: Seen::default(),
        };
        let goes_on = attempt.answer();
        let seen = attempt.seen;
        books.write(number, |attempts| {
            attempts.get_mut(place).expect("was begun").1 = seen;
        });
        if goes_on.is_none() {
            return;
        }
    }
}

struct Attempt<'a> {
    socket: &'a mut TcpStream,
    call: &'a Call,
    dialect: Dialect,
    place: usize,
    seen: Seen,
}

impl Attempt<'_> {
    /// `None` if the connection has ended.
    fn answer(&mut self) -> Option<()> {
        let does = match self.place {
            0 => self.call.first,
            _ => self.call.second,
        };
        if self.call.client == Client::LeavesBeforeTheAnswer {
            self.seen.works = true;
            return self.wait_for_the_end();
        }
        let used = self.call.used.told_in(self.dialect);
        match does {
            Does::Refuses(status) => {
                self.seen.refused = Some(status);
                let error =
                    json!({"type": "error", "error": {"type": "api_error", "message": "no", "code": "no"}});
                self.whole(status, &error)
            }
            Does::Answers if !self.call.streams => {
                self.seen.works = true;
                self.seen.told = Some(used);
                let answer = whole_answer(self.dialect, Some(used));
                self.whole(200, &answer)
            }
            Does::IsSilentAboutUsage if !self.call.streams => {
                self.seen.works = true;
                let answer = whole_answer(self.dialect, None);
                self.whole(200, &answer)
            }
            does => self.stream(does, used),
        }
    }

    fn whole(&mut self, status: u16, body: &Value) -> Option<()> {
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.send(answer.as_bytes())
    }

    fn stream(&mut self, does: Does, used: Used) -> Option<()> {
        let told = (does != Does::IsSilentAboutUsage).then_some(used);
        self.seen.works = true;
        self.send(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n",
        )?;
        let (begin, content, end) = events(self.dialect, told);
        self.chunk(&begin)?;
        if self.dialect == Dialect::Messages {
            // The beginning tells the input.
            self.seen.begun = told;
        }
        self.chunk(&content)?;
        if self.call.client == Client::LeavesMidway && self.place == 0 {
            return self.wait_for_the_end();
        }
        if does == Does::Cuts {
            return None;
        }
        self.seen.begun = None;
        self.seen.told = told;
        self.chunk(&end)?;
        self.send(b"0\r\n\r\n")
    }

    fn chunk(&mut self, text: &str) -> Option<()> {
        self.send(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
    }

    fn send(&mut self, bytes: &[u8]) -> Option<()> {
        let sent = self.socket.write_all(bytes);
        self.seen.is_cut |= sent.is_err();
        sent.ok()
    }

    /// The client leaves, so the connection ends.
    fn wait_for_the_end(&mut self) -> Option<()> {
        let mut byte = [0];
        let read = self.socket.read(&mut byte);
        assert!(
            !matches!(read, Ok(1..)),
            "nothing else is asked on a connection whose answer is not complete"
        );
        self.seen.is_cut = true;
        None
    }
}

/// The path and the body of the next request; `None` if there is none.
fn request(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<(String, Vec<u8>)> {
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
        fill(socket, read)?;
    };
    let head = String::from_utf8(read.drain(..end).collect()).ok()?;
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse::<usize>().ok())?
    })?;
    while read.len() < length {
        fill(socket, read)?;
    }
    Some((path, read.drain(..length).collect()))
}

fn fill(socket: &mut TcpStream, read: &mut Vec<u8>) -> Option<()> {
    let mut buffer = [0; 16 * 1024];
    let count = socket.read(&mut buffer).ok().filter(|count| *count > 0)?;
    read.extend_from_slice(buffer.get(..count)?);
    Some(())
}

/// Usage as a dialect tells it.
fn usage(dialect: Dialect, used: Used) -> Value {
    match dialect {
        Dialect::Messages => json!({
            "input_tokens": used.input, "cache_read_input_tokens": used.cached,
            "cache_creation_input_tokens": used.written, "output_tokens": used.output,
        }),
        _ => json!({
            "prompt_tokens": used.prompt(), "completion_tokens": used.output,
            "total_tokens": used.prompt() + used.output,
            "prompt_tokens_details": {"cached_tokens": used.cached},
            "completion_tokens_details": {"reasoning_tokens": used.reasoning},
        }),
    }
}

fn whole_answer(dialect: Dialect, used: Option<Used>) -> Value {
    let mut answer = match dialect {
        Dialect::Messages => json!({
            "id": "msg_1", "type": "message", "role": "assistant", "model": "soak-messages",
            "content": [{"type": "text", "text": "Hello there"}], "stop_reason": "end_turn", "stop_sequence": null,
        }),
        _ => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "soak-chat",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello there"}, "finish_reason": "stop"}],
        }),
    };
    if let Some(used) = used {
        answer["usage"] = usage(dialect, used);
    }
    answer
}

/// The beginning, the content and the end of a stream.
fn events(dialect: Dialect, used: Option<Used>) -> (String, String, String) {
    match dialect {
        Dialect::Messages => {
            let event = |name: &str, data: Value| format!("event: {name}\ndata: {data}\n\n");
            let mut message = json!({
                "id": "msg_1", "type": "message", "role": "assistant", "model": "soak-messages", "content": [],
                "stop_reason": null, "stop_sequence": null,
            });
            let mut last =
                json!({"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": null}});
            if let Some(used) = used {
                message["usage"] = usage(dialect, Used { output: 1, ..used });
                last["usage"] = json!({"output_tokens": used.output});
            }
            let begin = event(
                "message_start",
                json!({"type": "message_start", "message": message}),
            ) + &event(
                "content_block_start",
                json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            );
            let content = event(
                "content_block_delta",
                json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello there"}}),
            );
            let end = event(
                "content_block_stop",
                json!({"type": "content_block_stop", "index": 0}),
            ) + &event("message_delta", last)
                + &event("message_stop", json!({"type": "message_stop"}));
            (begin, content, end)
        }
        _ => {
            let chunk = |choices: Value, usage: Value| {
                let chunk = json!({
                    "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000,
                    "model": "soak-chat", "choices": choices, "usage": usage,
                });
                format!("data: {chunk}\n\n")
            };
            let delta = |delta: Value, finish: Value| {
                chunk(
                    json!([{"index": 0, "delta": delta, "finish_reason": finish}]),
                    Value::Null,
                )
            };
            let begin = delta(json!({"role": "assistant", "content": ""}), Value::Null);
            let content = delta(json!({"content": "Hello there"}), Value::Null);
            let mut end = delta(json!({}), json!("stop"));
            if let Some(used) = used {
                end += &chunk(json!([]), usage(dialect, used));
            }
            (begin, content, end + "data: [DONE]\n\n")
        }
    }
}

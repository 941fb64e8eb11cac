//! An Admin API that keeps what it is sent, records it, and refuses what a test wants refused.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

/// The key it wants.
pub const KEY: &str = "admin-key-0001";

/// A call it got.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    pub method: String,
    pub path: String,
    pub body: Value,
}

#[derive(Default)]
struct State {
    /// Values by key, such as `/apisix/routes/1`.
    objects: BTreeMap<String, Value>,
    calls: Vec<Call>,
    refusals: HashMap<String, (u16, String)>,
}

/// The server; it ends with the test's process.
pub struct Admin {
    url: String,
    state: Arc<Mutex<State>>,
}

impl Admin {
    pub fn start() -> Admin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                thread::spawn(move || serve(&stream, &state));
            }
        });
        Admin { url, state }
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Stores an object behind everybody's back.
    pub fn put(&self, key: &str, value: Value) {
        self.state().objects.insert(key.to_owned(), value);
    }

    /// From now on answers calls of this path in this way, but for GET.
    pub fn refuse(&self, path: &str, status: u16, body: &str) {
        let answer = (status, body.to_owned());
        self.state().refusals.insert(path.to_owned(), answer);
    }

    pub fn refuse_nothing(&self) {
        self.state().refusals.clear();
    }

    /// The calls since the last time.
    pub fn take_all(&self) -> Vec<Call> {
        std::mem::take(&mut self.state().calls)
    }

    /// Those that change something.
    pub fn take_changes(&self) -> Vec<Call> {
        let mut calls = self.take_all();
        calls.retain(|call| call.method != "GET");
        calls
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics")
    }
}

/// Answers calls until the connection ends.
fn serve(stream: &TcpStream, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream);
    while let Some((call, key)) = read(&mut reader) {
        let (status, body) = match key.as_deref() {
            Some(KEY) => answer(&mut state.lock().expect("no thread panics"), call),
            _ => (
                401,
                r#"{"error_msg":"failed to check token","description":"wrong apikey"}"#.to_owned(),
            ),
        };
        let mut stream = stream;
        let head = format!(
            "HTTP/1.1 {status} x\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
            return;
        }
    }
}

/// The next call and its key.
fn read(reader: &mut impl BufRead) -> Option<(Call, Option<String>)> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut key) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.trim().parse().expect("a length"),
            "x-api-key" => key = Some(value.trim().to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    Some((Call { method, path, body }, key))
}

fn answer(state: &mut State, call: Call) -> (u16, String) {
    state.calls.push(call.clone());
    let Call { method, path, body } = call;
    if method != "GET"
        && let Some((status, body)) = state.refusals.get(&path)
    {
        return (*status, body.clone());
    }
    let key = path.replacen("/apisix/admin", "/apisix", 1);
    match method.as_str() {
        "GET" => list(state, &key),
        "PUT" => {
            let mut value = body;
            value["create_time"] = json!(1_700_000_000);
            value["update_time"] = json!(1_700_000_001);
            let answer = json!({"key": key, "value": value}).to_string();
            state.objects.insert(key, value);
            (201, answer)
        }
        "DELETE" => {
            // With a consumer go its credentials.
            let below = format!("{key}/");
            state.objects.retain(|other, _| !other.starts_with(&below));
            match state.objects.remove(&key) {
                Some(_) => (200, json!({"deleted": "1", "key": key}).to_string()),
                None => (404, json!({"message": "Key not found"}).to_string()),
            }
        }
        _ => (200, "{}".to_owned()),
    }
}

fn list(state: &State, collection: &str) -> (u16, String) {
    if collection == "/apisix/stream_routes" {
        return (
            400,
            json!({"error_msg": "stream mode is disabled, can not add stream routes"}).to_string(),
        );
    }
    let parent = format!("{collection}/");
    let list: Vec<Value> = state
        .objects
        .iter()
        .filter(|(key, _)| key.strip_prefix(&parent).is_some_and(|id| !id.contains('/')))
        .map(|(key, value)| {
            let mut value = value.clone();
            // Private keys are never told.
            if key.starts_with("/apisix/ssls/") {
                value.as_object_mut().expect("an object").remove("key");
            }
            json!({"key": key, "value": value, "createdIndex": 1, "modifiedIndex": 2})
        })
        .collect();
    if list.is_empty() && collection.ends_with("/credentials") {
        return (404, json!({"message": "Key not found"}).to_string());
    }
    (200, json!({"total": list.len(), "list": list}).to_string())
}

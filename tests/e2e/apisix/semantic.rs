//! Choice by what a prompt is about: instances with examples, and a vendor that turns texts into vectors.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::{Value, json};

use super::{Node, NodeSetup};
use crate::harness::{Asked, Next, PATIENCE, Request, Response, Upstream, answers, post};

/// A vendor of vectors. Code, translations and small talk have a direction each; other texts are a bit of everything.
struct Vectors {
    upstream: Upstream,
    /// The status it answers with.
    status: Arc<AtomicU16>,
    /// How many numbers its vectors have; the first three are those of the topics.
    length: Arc<AtomicUsize>,
}

impl Vectors {
    fn start() -> Vectors {
        let status = Arc::new(AtomicU16::new(200));
        let length = Arc::new(AtomicUsize::new(3));
        let upstream = {
            let (status, length) = (status.clone(), length.clone());
            Upstream::start(move |asked, peer| {
                let status = status.load(Ordering::SeqCst);
                let body = match status {
                    200 => vectors(asked, length.load(Ordering::SeqCst)),
                    _ => json!({"error": "sk-vectors"}),
                };
                peer.send(&answers::json_answer(status, &body.to_string()));
                Next::Keep
            })
        };
        Vectors {
            upstream,
            status,
            length,
        }
    }

    /// The texts of the next request.
    #[track_caller]
    fn asked_for(&self) -> Vec<String> {
        let asked = self.upstream.asked();
        assert_eq!(
            (asked.method.as_str(), asked.path.as_str()),
            ("POST", "/v1/embeddings")
        );
        assert_eq!(asked.header("authorization"), Some("Bearer sk-vectors"));
        assert_eq!(asked.json()["model"], "small");
        texts(&asked)
    }
}

fn texts(asked: &Asked) -> Vec<String> {
    let input = asked.json()["input"].clone();
    let texts = input.as_array().into_iter().flatten();
    texts
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}

fn vectors(asked: &Asked, length: usize) -> Value {
    let texts = texts(asked);
    let data = texts.iter().enumerate().map(|(index, text)| {
        let mut vector = match text {
            _ if text.contains("python") => vec![1.0, 0.0, 0.0],
            _ if text.contains("translate") => vec![0.0, 1.0, 0.0],
            _ if text.contains("weather") => vec![0.0, 0.0, 1.0],
            _ => vec![0.7, 0.5, 0.3],
        };
        vector.resize(length, 0.0);
        json!({"object": "embedding", "index": index, "embedding": vector})
    });
    // Whoever relies on the order and not on the numbers gets it wrong.
    json!({"object": "list", "data": data.rev().collect::<Vec<_>>()})
}

/// A provider that answers with the model it is asked for.
fn models() -> Upstream {
    Upstream::start(|asked, peer| {
        let model = asked.json()["model"].as_str().unwrap_or_default().to_owned();
        peer.send(&answers::good(asked, &model));
        Next::Keep
    })
}

fn instance(name: &str, upstream: &Upstream, examples: &[&str]) -> Value {
    json!({
        "name": name, "provider": "openai-compatible", "weight": 1,
        "auth": {"header": {"Authorization": "Bearer sk-model"}},
        "options": {"model": format!("model-{name}")},
        "override": {"endpoint": upstream.base() + "/chat/completions"},
        "examples": examples,
    })
}

/// The plugin: code, translations, and small talk, which is the fallback too.
fn plugin(vectors: &Vectors, models: [&Upstream; 3]) -> Value {
    json!({
        "balancer": {"algorithm": "semantic"},
        "semantic_opts": {
            "embeddings": {
                "provider": "openai", "model": "small",
                "endpoint": vectors.upstream.base() + "/embeddings",
                "auth": {"header": {"Authorization": "Bearer sk-vectors"}},
            },
            "threshold": 0.9, "fallback": "talk", "debugging": true,
        },
        "instances": [
            instance("code", models[0], &["write a python function", "debug this python"]),
            instance("words", models[1], &["translate this"]),
            instance("talk", models[2], &["what is the weather"]),
        ],
    })
}

fn put(node: &Node, plugin: &Value) {
    let route =
        json!({"uris": ["/chat", "/v1/messages", "/v1/responses"], "plugins": {"ai-proxy-multi": plugin}});
    node.put("/routes/1", &route);
}

fn about(prompt: &str) -> Request {
    post(
        "/chat",
        json!({"messages": [{"role": "user", "content": prompt}]}).to_string(),
    )
}

fn served(response: &Response) -> String {
    assert_eq!(response.status(), 200, "{}", response.text());
    response.json()["choices"][0]["message"]["content"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn told(response: &Response) -> Option<(&str, &str)> {
    Some((
        response.header("x-ai-semantic-picked-instance")?,
        response.header("x-ai-semantic-scores")?,
    ))
}

#[test]
fn each_prompt_goes_where_its_examples_are_and_the_examples_are_asked_for_once() {
    for setup in [NodeSetup::new(), NodeSetup::new().strict()] {
        let (vectors, models) = (Vectors::start(), models());
        let node = setup.start();
        put(&node, &plugin(&vectors, [&models; 3]));
        let response = node.send(&about("help me with this python code"));
        assert_eq!(served(&response), "model-code");
        let scores = "code:1.0000,words:0.0000,talk:0.0000";
        assert_eq!(told(&response), Some(("code", scores)));
        let mut first = [vectors.asked_for(), vectors.asked_for()];
        first.sort_by_key(Vec::len);
        let examples = [
            "write a python function",
            "debug this python",
            "translate this",
            "what is the weather",
        ];
        assert_eq!(first, [vec!["help me with this python code"], examples.to_vec()]);
        for (prompt, model) in [
            ("please translate it", "model-words"),
            ("how is the weather", "model-talk"),
            ("python, please", "model-code"),
        ] {
            assert_eq!(served(&node.send(&about(prompt))), model);
            assert_eq!(vectors.asked_for(), [prompt]);
        }
        let response = node.send(&about("a good hotel in Paris"));
        assert_eq!(served(&response), "model-talk");
        assert_eq!(
            told(&response),
            Some(("fallback", "code:0.7683,words:0.5488,talk:0.3293"))
        );
        vectors.asked_for();
        node.process.stderr.with("no instance reaches its threshold");
        // A change that leaves examples and vendor as they are keeps the vectors.
        let mut changed = plugin(&vectors, [&models; 3]);
        changed["instances"][0]["threshold"] = json!(0.5);
        changed["semantic_opts"]["debugging"] = json!(false);
        put(&node, &changed);
        let response = node.send(&about("a good hotel in Paris"));
        assert_eq!(served(&response), "model-code", "its own threshold counts");
        assert_eq!(told(&response), None, "clients are told only while debugging");
        assert_eq!(vectors.asked_for(), ["a good hotel in Paris"]);
        vectors.upstream.was_not_asked();
        let finished = node.stop();
        assert!(!finished.stderr.contains("sk-vectors"), "{}", finished.stderr);
    }
}

#[test]
fn calls_in_every_api_are_chosen_by_their_last_words() {
    let (vectors, models) = (Vectors::start(), models());
    let node = NodeSetup::new().start();
    put(&node, &plugin(&vectors, [&models; 3]));
    let picked = |path: &str, body: Value| {
        let response = node.send(&post(path, body.to_string()));
        told(&response).map(|(picked, _)| picked.to_owned())
    };
    let parts = json!([{"type": "text", "text": "translate"}, {"type": "text", "text": "this"}]);
    for (path, body) in [
        ("/chat", json!({"messages": [{"role": "user", "content": parts}]})),
        ("/v1/responses", json!({"model": "m", "input": "translate this"})),
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 9, "system": "python", "messages": [
                {"role": "user", "content": "how is the weather"}, {"role": "assistant", "content": "python"},
                {"role": "user", "content": "translate this"}]}),
        ),
    ] {
        assert_eq!(picked(path, body).as_deref(), Some("words"), "{path}");
    }
    node.stop();
}

#[test]
fn a_client_s_headers_are_none_of_the_vendor_s_business() {
    let (vectors, models) = (Vectors::start(), models());
    let node = NodeSetup::new().start();
    put(&node, &plugin(&vectors, [&models; 3]));
    let request = about("python").header("cookie", "mine").header("x-tag", "mine");
    node.send(&request);
    for _ in 0..2 {
        let asked = vectors.upstream.asked();
        assert!(
            asked.headers.iter().all(|(_, value)| value != "mine"),
            "{asked:?}"
        );
    }
    node.stop();
}

#[test]
fn when_there_are_no_vectors_the_fallback_answers_and_the_vendor_is_left_alone_until_it_is_back() {
    let (vectors, models) = (Vectors::start(), models());
    vectors.status.store(500, Ordering::SeqCst);
    let node = NodeSetup::new().start();
    put(&node, &plugin(&vectors, [&models; 3]));
    for _ in 0..20 {
        let response = node.send(&about("python"));
        assert_eq!(served(&response), "model-talk");
        assert_eq!(told(&response), None, "nothing is known of the prompt");
    }
    node.process.stderr.with("answers with status 500");
    let asked = std::iter::from_fn(|| vectors.upstream.try_asked()).count();
    assert!(asked < 8, "asked {asked} times though it fails");
    vectors.status.store(200, Ordering::SeqCst);
    let recovered = node.until(&about("python"), |response| served(response) == "model-code");
    assert_eq!(told(&recovered).map(|(picked, _)| picked), Some("code"));
    let finished = node.stop();
    assert!(!finished.stderr.contains("sk-vectors"), "{}", finished.stderr);
}

#[test]
fn many_first_calls_at_once_ask_for_the_examples_once() {
    let (vectors, models) = (Vectors::start(), models());
    let node = NodeSetup::new().start();
    put(&node, &plugin(&vectors, [&models; 3]));
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| assert_eq!(served(&node.send(&about("python"))), "model-code"));
        }
    });
    let asked: Vec<Vec<String>> = std::iter::from_fn(|| vectors.upstream.try_asked())
        .map(|asked| texts(&asked))
        .collect();
    assert_eq!(
        asked.iter().filter(|texts| texts.len() == 4).count(),
        1,
        "{asked:?}"
    );
    assert_eq!(asked.len(), 17);
    node.stop();
}

#[test]
fn a_vendor_that_says_nothing_is_waited_for_as_long_as_configured() {
    let models = models();
    let silent = Upstream::start(|_, peer| {
        peer.wait_until_closed();
        Next::Close
    });
    let vectors = Vectors {
        upstream: silent,
        status: Arc::default(),
        length: Arc::default(),
    };
    let mut plugin = plugin(&vectors, [&models; 3]);
    plugin["semantic_opts"]["embeddings"]["timeout"] = json!(50);
    let node = NodeSetup::new().start();
    put(&node, &plugin);
    let begun = Instant::now();
    assert_eq!(served(&node.send(&about("python"))), "model-talk");
    assert!(begun.elapsed() < PATIENCE);
    node.process.stderr.with("has not answered in 50ms");
    node.stop();
}

#[test]
fn vectors_of_another_length_make_the_fallback_answer_once() {
    let (vectors, models) = (Vectors::start(), models());
    let node = NodeSetup::new().start();
    put(&node, &plugin(&vectors, [&models; 3]));
    assert_eq!(served(&node.send(&about("python"))), "model-code");
    vectors.length.store(5, Ordering::SeqCst);
    assert_eq!(served(&node.send(&about("python"))), "model-talk");
    assert_eq!(
        served(&node.send(&about("python"))),
        "model-code",
        "the examples were asked for anew"
    );
    node.stop();
}

#[test]
fn the_next_best_answers_for_a_picked_instance_that_fails_but_not_in_strict_mode() {
    let vectors = Vectors::start();
    let models = models();
    let failing = Upstream::saying(answers::json_answer(503, r#"{"error":{"message":"no"}}"#));
    for (setup, status) in [(NodeSetup::new(), 200), (NodeSetup::new().strict(), 503)] {
        let node = setup.start();
        let mut plugin = plugin(&vectors, [&failing, &models, &models]);
        plugin["fallback_strategy"] = json!(["http_5xx"]);
        put(&node, &plugin);
        let response = node.send(&about("python"));
        assert_eq!(response.status(), status, "{}", response.text());
        assert_eq!(told(&response).map(|(picked, _)| picked), Some("code"));
        if status == 200 {
            assert_eq!(served(&response), "model-talk");
        }
        node.stop();
    }
}

#[test]
fn what_is_missing_is_told_when_the_route_is_written() {
    let (vectors, models) = (Vectors::start(), models());
    let node = NodeSetup::new().start();
    let good = plugin(&vectors, [&models; 3]);
    let changed = |path: &str, value: Value| {
        let mut plugin = good.clone();
        let (parent, member) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = plugin
            .pointer_mut(parent)
            .and_then(Value::as_object_mut)
            .expect("an object");
        match value {
            Value::Null => drop(parent.remove(member)),
            value => drop(parent.insert(member.to_owned(), value)),
        }
        plugin
    };
    for (plugin, told) in [
        (
            changed("/instances/1/examples", Value::Null),
            "instance 'words': must configure non-empty `examples`",
        ),
        (changed("/instances/1/examples", json!([])), "examples"),
        (changed("/instances/1/examples", json!([""])), "examples"),
        (changed("/instances/1/threshold", json!(1.5)), "threshold"),
        (
            changed("/semantic_opts", Value::Null),
            "must configure `semantic_opts.embeddings`",
        ),
        (changed("/semantic_opts/embeddings", Value::Null), "embeddings"),
        (changed("/semantic_opts/embeddings/model", Value::Null), "model"),
        (changed("/semantic_opts/embeddings/auth", Value::Null), "auth"),
        (changed("/semantic_opts/embeddings/auth/gcp", json!({})), "gcp"),
        (
            changed("/semantic_opts/embeddings/provider", json!("gemini")),
            "provider",
        ),
        (changed("/semantic_opts/embeddings/timeout", json!(0)), "timeout"),
        (
            changed("/semantic_opts/embeddings/endpoint", json!("here")),
            "invalid `semantic_opts.embeddings.endpoint`",
        ),
        (
            changed(
                "/semantic_opts/embeddings/auth/header",
                json!({"Authorization": "sk\n"}),
            ),
            "semantic_opts.embeddings.auth.header: the value of `Authorization`",
        ),
        (
            changed("/semantic_opts/fallback", json!("nobody")),
            "names unknown instance 'nobody'",
        ),
        (changed("/semantic_opts/threshold", json!(-2)), "threshold"),
    ] {
        let route = json!({"uri": "/chat", "plugins": {"ai-proxy-multi": plugin}});
        let response = node.ask("PUT", "/routes/1", Some(&route));
        assert_eq!(response.status(), 400, "{told}");
        assert!(response.text().contains(told), "{told}: {}", response.text());
        assert!(!response.text().contains("sk-"), "{}", response.text());
    }
    node.stop();
}

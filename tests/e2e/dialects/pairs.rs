//! A client of every dialect is served by a provider of every dialect.

use serde_json::json;

use super::{KEY, Wire, simulated};

const PROMPT: &str = "Say: é \"quoted\" 😀 \u{2028} \\ / \u{7f} <&> \\u0041";

#[test]
fn text_reaches_every_client_from_every_provider_whole_and_streamed() {
    let gateway = simulated("");
    for client in Wire::ALL {
        for provider in Wire::ALL {
            let pair = format!("{client:?} from {provider:?}");
            let send = |stream| {
                let request = client.request(provider.name(), PROMPT, stream, false);
                gateway.send(&client.with_key(request, KEY))
            };
            let whole = send(false);
            assert_eq!(whole.status(), 200, "{pair}: {}", whole.text());
            assert_eq!(whole.header("content-type"), Some("application/json"));
            let said = client.said(&whole.json());
            assert!(said.text.contains(PROMPT), "{pair}: {}", whole.text());
            assert_eq!(said.stop, client.stops().0, "{pair}");
            let log = gateway.logged();
            assert!(
                log["usage"]["prompt_tokens"]
                    .as_u64()
                    .is_some_and(|tokens| tokens > 0),
                "{pair}: {log}"
            );

            let streamed = send(true);
            assert_eq!(streamed.status(), 200, "{pair}");
            assert_eq!(
                client.said_in_stream(&streamed.body),
                said,
                "{pair}: {}",
                String::from_utf8_lossy(&streamed.body)
            );
            let streamed_log = gateway.logged();
            for field in ["usage", "request_model", "model", "instance"] {
                assert_eq!(streamed_log[field], log[field], "{pair}: {field}: {streamed_log}");
            }
            assert_eq!(log["usage"]["estimated"], json!(false), "{pair}: {log}");
        }
    }
    gateway.stop();
}

#[test]
fn a_tool_is_called_through_every_pair() {
    let gateway = simulated("");
    for client in Wire::ALL {
        for provider in Wire::ALL {
            let pair = format!("{client:?} from {provider:?}");
            for stream in [false, true] {
                let request = client.request(provider.name(), "What is the weather?", stream, true);
                let response = gateway.send(&client.with_key(request, KEY));
                let told = String::from_utf8_lossy(&response.body);
                assert_eq!(response.status(), 200, "{pair}: {told}");
                let said = if stream {
                    client.said_in_stream(&response.body)
                } else {
                    client.said(&response.json())
                };
                assert_eq!(
                    said.call,
                    Some(("get_weather".to_owned(), json!({"city": "Paris"}))),
                    "{pair}: {told}"
                );
                assert_eq!(said.stop, client.stops().1, "{pair}");
                assert_eq!(gateway.logged()["has_tool_calls"], json!(true), "{pair}");
            }
        }
    }
    gateway.stop();
}

#[test]
fn refusals_are_told_in_the_dialect_of_the_client() {
    let gateway = simulated("");
    for client in Wire::ALL {
        let hello = |model| client.request(model, "Hello", false, false);
        let wrong = gateway.send(&client.with_key(hello("openai_chat"), "not-a-key"));
        // Amazon says 403.
        let unauthorized = if client == Wire::Bedrock { 403 } else { 401 };
        assert_eq!(wrong.status(), unauthorized, "{client:?}");
        assert!(
            client.error_message(&wrong).contains("not valid"),
            "{}",
            wrong.text()
        );
        let none = gateway.send(&hello("openai_chat"));
        assert_eq!(none.status(), unauthorized, "{client:?}");
        client.error_message(&none);
        let unknown = gateway.send(&client.with_key(hello("no-such-model"), KEY));
        assert_eq!(unknown.status(), 404, "{client:?}");
        assert!(
            client.error_message(&unknown).contains("no-such-model"),
            "{}",
            unknown.text()
        );
        let method = crate::harness::Request::new("GET", &client.path("openai_chat", false));
        let method = gateway.send(&client.with_key(method, KEY));
        assert_eq!(method.status(), 405, "{client:?}");
        client.error_message(&method);
        let garbled = crate::harness::post(&client.path("openai_chat", false), "{");
        let garbled = gateway.send(&client.with_key(garbled, KEY));
        assert_eq!(garbled.status(), 400, "{client:?}");
        client.error_message(&garbled);
    }
    gateway.stop();
}

#[test]
fn a_provider_s_refusal_keeps_status_and_time_to_wait_in_every_pair() {
    let gateway = simulated("");
    for client in Wire::ALL {
        for provider in Wire::ALL {
            for stream in [false, true] {
                let model = format!("failing-{}", provider.name());
                let request = client.request(&model, "Hello", stream, false);
                let response = gateway.send(&client.with_key(request, KEY));
                assert_eq!(response.status(), 429, "{client:?} from {provider:?}");
                assert_eq!(response.header("retry-after"), Some("1"));
                let told = client.error_message(&response);
                assert!(
                    told.contains("simulated failure"),
                    "{client:?} from {provider:?}: {told}"
                );
            }
        }
    }
    gateway.stop();
}

#[test]
fn a_stream_that_fails_midway_never_looks_finished() {
    for fault in ["error_midway", "cut"] {
        let gateway = simulated(&format!("?fail={fault}"));
        for client in Wire::ALL {
            for provider in Wire::ALL {
                let request = client.request(provider.name(), PROMPT, true, false);
                let response = gateway.send(&client.with_key(request, KEY));
                let text = String::from_utf8_lossy(&response.body).into_owned();
                assert_eq!(response.status(), 200, "{client:?} from {provider:?}: {text}");
                assert!(
                    text.contains("\"error\"") || text.contains("Exception"),
                    "{client:?} from {provider:?}: {text}"
                );
                for end in [
                    "[DONE]",
                    "message_stop",
                    "finishReason",
                    "response.completed",
                    "messageStop",
                ] {
                    assert!(!text.contains(end), "{client:?} from {provider:?}: {text}");
                }
                assert!(gateway.logged()["error_code"].is_string());
            }
        }
        gateway.stop();
    }
}

#[test]
fn an_answer_has_an_id_where_the_provider_gives_none() {
    let gateway = simulated("");
    for client in [Wire::Openai, Wire::Anthropic, Wire::Responses] {
        let request = client.request(Wire::Bedrock.name(), PROMPT, false, false);
        let response = gateway.send(&client.with_key(request, KEY));
        let id = response.json()["id"].as_str().expect("an id").to_owned();
        let call = response
            .header("x-tollgate-request-id")
            .expect("an id")
            .to_owned();
        assert!(id.ends_with(&call) && id.len() > call.len(), "{client:?}: {id}");
    }
    gateway.stop();
}

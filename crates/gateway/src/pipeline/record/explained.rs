//! What is known of a call that is only explained.

use serde_json::{Map, Value, json};

use super::Record;
use crate::pipeline::explain::shown_headers;

impl Record {
    /// What is known of the call itself: who calls, what is asked for, and which route takes it.
    pub(in crate::pipeline) fn explained(&self) -> Map<String, Value> {
        let route = self.route.as_ref().map(|id| {
            json!({
                "id": &**id,
                "name": self.route_name(),
                "from": if self.object_route.is_some() { "objects" } else { "configuration" },
                "matched_path": Some(&self.matched_uri).filter(|uri| !uri.is_empty()),
                "matched_host": self.matched_host.as_deref(),
                "service": self.service.as_deref(),
            })
        });
        let mut limits = self.answer_headers.clone();
        self.admission.tell(&mut limits);
        if let Some(governed) = &self.governed {
            governed.tell(&mut limits);
        }
        let told = json!({
            "route": route,
            "consumer": self.consumer.as_deref(),
            "credential": self.credential.as_deref(),
            "team": self.team.as_deref(),
            "dialect": self.operation.map(|_| self.dialect.name()),
            "operation": self.operation,
            "model": self.request_model.as_deref(),
            "stream": self.operation.map(|_| self.kind == tollgate_telemetry::RequestType::AiStream),
            "estimated_input_tokens": self.estimated_input,
            // What limits have left, as the client is told it.
            "answer_headers": shown_headers(&limits),
        });
        match told {
            Value::Object(told) => told,
            _ => Map::new(),
        }
    }
}

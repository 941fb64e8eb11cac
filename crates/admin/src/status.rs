//! Whether the process lives, and whether it can serve calls: what orchestrators ask.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use http::{Method, StatusCode};
use serde_json::json;

use crate::admin::{Admin, DataPlane};
use crate::answer::Answer;
use crate::errors::Refusal;
use crate::observe;
use crate::query::segments;

/// `/status`, `/status/ready` and `/metrics` alone, for a listener of their own that every address may use.
pub fn status_router<D: DataPlane>(admin: Arc<Admin<D>>) -> Router {
    Router::new().fallback(respond::<D>).with_state(admin)
}

/// Serves them until `shutdown` is done.
///
/// # Errors
/// The listener fails for good.
pub async fn serve_status<D: DataPlane>(
    listener: tokio::net::TcpListener,
    admin: Arc<Admin<D>>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, status_router(admin))
        .with_graceful_shutdown(shutdown)
        .await
}

async fn respond<D: DataPlane>(State(admin): State<Arc<Admin<D>>>, request: Request) -> Response {
    let segments = segments(request.uri().path());
    let answer = match segments.first() {
        Some(first) if first == "status" => answer(request.method(), &segments, || admin.data_plane.ready()),
        _ if observe::is_metrics(&segments) => observe::metrics(
            request.method(),
            &admin.data_plane,
            observe::own_metrics(admin.wrong_keys.count()),
        ),
        _ => Err(Refusal::NoPath),
    };
    answer.unwrap_or_else(Answer::from).finish(&admin.settings)
}

/// The answer to a path that begins with `status`.
pub(crate) fn answer(
    method: &Method,
    segments: &[String],
    ready: impl FnOnce() -> Result<(), String>,
) -> Result<Answer, Refusal> {
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Refusal::NoPath);
    }
    let state = match segments {
        [_] => Ok(()),
        [_, word] if word == "ready" => ready(),
        _ => return Err(Refusal::NoPath),
    };
    Ok(match state {
        Ok(()) => Answer::json(StatusCode::OK, json!({"status": "ok"})),
        Err(error) => Answer::json(
            StatusCode::SERVICE_UNAVAILABLE,
            json!({"status": "error", "error": error}),
        ),
    })
}

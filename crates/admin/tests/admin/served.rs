//! Over a real connection.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::common::{KEY, api, route};

#[tokio::test]
async fn requests_are_served_until_the_shutdown() {
    let api = api();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let admin = Arc::clone(&api.admin);
    let client = async move {
        let body = r#"{"id": "1", "uri": "/a", "plugins": {}}"#;
        let request = format!(
            "PUT /apisix/admin/routes HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nconnection: close\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        stop.send(()).unwrap();
        answer
    };
    let server = tollgate_admin::serve(listener, admin, async move {
        let _ = stopped.await;
    });
    let (answer, served) = tokio::join!(client, server);
    served.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201 Created\r\n"), "{answer}");
    assert!(answer.contains("\r\nserver: APISIX/3.18.0\r\n"), "{answer}");
}

#[tokio::test]
async fn what_has_outlived_its_time_is_deleted_and_the_data_plane_told() {
    let api = api();
    api.put("/routes/1?ttl=5", route("/a")).await.is(201);
    api.put("/routes/2?ttl=6", route("/b")).await.is(201);
    api.put("/routes/3", route("/c")).await.is(201);
    api.told();
    api.now.fetch_add(5, Ordering::Relaxed);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let admin = Arc::clone(&api.admin);
    let gone = async move {
        while admin.data_plane().told.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tollgate_admin::serve(listener, Arc::clone(&api.admin), gone)
        .await
        .unwrap();
    assert_eq!(api.told(), [("/apisix/routes/1".to_owned(), false)]);
    api.get("/routes/1").await.is(404);
    assert_eq!(api.get("/routes").await.json()["total"], 2);
}

#[tokio::test]
async fn the_description_of_the_api_is_the_committed_one() {
    let told = api().get("/openapi.json").await.is(200).json();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/admin-openapi.json");
    let text = format!("{}\n", serde_json::to_string_pretty(&told).unwrap());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/admin-openapi.json is out of date: run the test with UPDATE=1"
    );
}

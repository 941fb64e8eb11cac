use serde_json::{Value, json};

use crate::common::{Api, api, route, upstream};

async fn with_routes(count: usize) -> Api {
    let api = api();
    for number in 1..=count {
        let mut body = route(&format!("/{number}"));
        body["name"] = json!(format!("route {number}"));
        api.put(&format!("/routes/{number}"), body).await.is(201);
    }
    api
}

fn ids(list: &Value) -> Vec<&str> {
    let list = list["list"].as_array().unwrap();
    list.iter()
        .map(|item| item["value"]["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_empty_collection_is_an_empty_list() {
    let api = api();
    for collection in [
        "routes",
        "services",
        "upstreams",
        "consumers",
        "ssls",
        "plugin_configs",
        "global_rules",
        "plugin_metadata",
        "consumer_groups",
        "secrets",
        "protos",
    ] {
        let told = api.get(&format!("/{collection}")).await;
        assert_eq!(told.is(200).json(), json!({"total": 0, "list": []}));
    }
}

#[tokio::test]
async fn a_list_has_everything_unless_both_parts_of_a_page_are_asked_for() {
    let api = with_routes(23).await;
    for path in [
        "/routes",
        "/routes/",
        "/routes?page=1",
        "/routes?page_size=10",
        "/routes?page=x&page_size=10",
    ] {
        assert_eq!(ids(&api.get(path).await.is(200).json()).len(), 23, "{path}");
    }
    for (page, count, first) in [
        ("1", 10, Some("1")),
        ("3", 3, Some("21")),
        ("-1", 10, Some("1")),
        ("9", 0, None),
    ] {
        let told = api
            .get(&format!("/routes?page={page}&page_size=10"))
            .await
            .is(200)
            .json();
        assert_eq!(told["total"], 23);
        assert_eq!((ids(&told).len(), ids(&told).first().copied()), (count, first));
    }
    for size in ["9", "501"] {
        let told = api.get(&format!("/routes?page=1&page_size={size}")).await;
        assert_eq!(told.is(400).text, "page_size must be between 10 and 500");
    }
}

#[tokio::test]
async fn filters_are_combined_and_counted_before_paging() {
    let api = with_routes(11).await;
    api.patch("/routes/1/labels", json!({"env": "prod"}))
        .await
        .is(200);
    api.patch(
        "/routes/11",
        json!({"uri": null, "uris": ["/hello", "/world"], "labels": {"env": "x"}}),
    )
    .await
    .is(200);
    for (query, wanted) in [
        ("name=1", vec!["1", "10", "11"]),
        ("name=%5Eroute%201$", vec!["1"]),
        ("label=env", vec!["1", "11"]),
        ("label=prod", vec![]),
        ("label=", vec![]),
        ("uri=world", vec!["11"]),
        ("uri=world&label=env", vec!["11"]),
        ("uri=%5E/1$&label=env", vec!["1"]),
    ] {
        let told = api.get(&format!("/routes?{query}")).await.is(200).json();
        assert_eq!(
            (ids(&told), &told["total"]),
            (wanted.clone(), &json!(wanted.len())),
            "{query}"
        );
    }
    let told = api.get("/routes?name=route&page=2&page_size=10").await.json();
    assert_eq!((&told["total"], ids(&told)), (&json!(11), vec!["11"]));
}

#[tokio::test]
async fn routes_can_be_filtered_by_what_they_refer_to() {
    let api = api();
    api.put("/services/1", json!({"upstream": upstream()}))
        .await
        .is(201);
    api.put("/upstreams/1", upstream()).await.is(201);
    for number in 1..=3 {
        let mut body = json!({"uri": format!("/{number}"), "service_id": "1"});
        if number == 3 {
            body["upstream_id"] = json!(1);
        }
        api.put(&format!("/routes/{number}"), body).await.is(201);
    }
    for (filter, wanted) in [
        ("service_id%3D1", vec!["1", "2", "3"]),
        ("service_id%3D2", vec![]),
        ("service_id%3D1%26upstream_id%3D1", vec!["3"]),
        ("unknown%3D1", vec!["1", "2", "3"]),
    ] {
        let told = api.get(&format!("/routes?filter={filter}")).await.is(200).json();
        assert_eq!(ids(&told), wanted, "{filter}");
    }
}

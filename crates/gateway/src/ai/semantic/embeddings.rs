//! Vectors of texts, from a vendor that speaks OpenAI's API of embeddings.
//!
//! What the vendor says never gets into the log or an error: it may repeat the prompt.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use serde::Deserialize;
use thiserror::Error;
use tollgate_policy::balance::semantic::Meaning;

use crate::ai::catalogue::{Provider, Served};
use crate::ai::config::{self, Auth, Embeddings, InstanceConf, Options, Override, PlainAuth, ProviderConf};
use crate::ai::headers::headers;
use crate::ai::protocol::Protocol;
use crate::ai::target::{Asked, Target};
use crate::upstream::{self, Endpoint, Pools, RequestBody, SendError, Within};

/// Most texts in one request. OpenAI allows 2048; answers to fewer are read without holding up other calls for long.
const MAX_TEXTS: usize = 256;

/// Largest answer: so many bytes for each text. The largest vectors have some thousand numbers of some 20 bytes.
const MAX_BYTES_PER_TEXT: usize = 256 * 1024;

/// Answers above this size are read beside the worker's other calls and not between them, in bytes.
const READ_ASIDE: usize = 128 * 1024;

/// Why there are no vectors.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EmbeddingError {
    /// There was no whole answer in time.
    #[error("the vendor of vectors has not answered in {0:?}")]
    Late(Duration),
    /// No connection, or it broke.
    #[error("the vendor of vectors cannot be reached: {0}")]
    Unreachable(String),
    /// The vendor refused.
    #[error("the vendor of vectors answers with status {0}")]
    Status(u16),
    /// The answer is not what was asked for.
    #[error("the vendor of vectors answers {0}")]
    Unreadable(String),
    /// The vendor has failed several times in a row and is not asked for a while.
    #[error("the vendor of vectors fails and is left alone for a while")]
    LeftAlone,
}

impl EmbeddingError {
    /// Whether the vendor is to blame and not what it was asked.
    pub fn is_outage(&self) -> bool {
        match self {
            EmbeddingError::Late(_) | EmbeddingError::Unreachable(_) => true,
            EmbeddingError::Status(status) => *status == 429 || *status >= 500,
            EmbeddingError::Unreadable(_) | EmbeddingError::LeftAlone => false,
        }
    }
}

/// Asks a vendor for vectors.
pub struct Embedder {
    endpoint: Endpoint,
    uri: Uri,
    headers: HeaderMap,
    model: String,
    limit: Duration,
    strict: bool,
}

impl Embedder {
    /// Reads the configuration. `strict` gives no pause to a vendor that fails.
    ///
    /// # Errors
    /// The address or a header is not usable.
    pub fn new(conf: Embeddings, strict: bool) -> Result<Self, String> {
        let limit = Duration::from_millis(conf.timeout);
        let verify = conf.ssl_verify;
        let model = conf.model.clone();
        let conf = as_instance(conf)?;
        let asked = Asked {
            protocol: Protocol::OpenaiEmbeddings,
            model: Some(&model),
            streaming: false,
            path: "/",
            query: None,
        };
        let target = Target::resolve(&conf, &asked, strict).map_err(|error| error.to_string())?;
        let mut headers = headers(&HeaderMap::new(), &conf, asked.protocol, Served::AsItIs, strict)
            .map_err(|error| error.to_string())?;
        let host = HeaderValue::from_str(&target.host_header).map_err(|error| error.to_string())?;
        headers.insert(HOST, host);
        let uri = match &target.query {
            Some(query) => format!("{}?{query}", target.path),
            None => target.path.clone(),
        };
        Ok(Embedder {
            endpoint: target.endpoint(verify).map_err(|error| error.to_string())?,
            uri: uri
                .parse()
                .map_err(|_| "the path or the query cannot stand in an address".to_owned())?,
            headers,
            model,
            limit,
            strict,
        })
    }

    /// How long one exchange may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// Whether the vendor is asked with every call, also when it fails.
    pub fn is_tireless(&self) -> bool {
        self.strict
    }

    /// The meanings of texts, in their order. Dropping the future closes the connection.
    ///
    /// # Errors
    /// There is not one for each, in time.
    pub async fn meanings(&self, pools: &Pools, texts: &[String]) -> Result<Vec<Meaning>, EmbeddingError> {
        let all = async {
            let mut meanings = Vec::with_capacity(texts.len());
            for texts in texts.chunks(MAX_TEXTS) {
                let answer = self.exchange(pools, texts).await?;
                meanings.extend(read(answer, texts.len()).await?);
            }
            Ok(meanings)
        };
        match tokio::time::timeout(self.limit, all).await {
            Ok(meanings) => meanings,
            Err(_) => Err(EmbeddingError::Late(self.limit)),
        }
    }

    async fn exchange(&self, pools: &Pools, texts: &[String]) -> Result<Bytes, EmbeddingError> {
        let body = serde_json::json!({"model": self.model, "input": texts}).to_string();
        let asked = upstream::CallRequest {
            method: &Method::POST,
            target: self.uri.path_and_query().map_or("/", |target| target.as_str()),
            headers: &self.headers,
            body: &RequestBody::from(Bytes::from(body)),
        };
        let within = Within {
            connect: self.limit,
            answer: self.limit,
        };
        let received = pools
            .send(&self.endpoint, None, &asked, within, || ())
            .await
            .map_err(|error| match error {
                SendError::Late => EmbeddingError::Late(self.limit),
                SendError::Connect(_) | SendError::Broken(_) => {
                    EmbeddingError::Unreachable(error.to_string())
                }
            })?;
        if received.status != StatusCode::OK {
            return Err(EmbeddingError::Status(received.status.as_u16()));
        }
        let mut body = received.body;
        let mut bytes = BytesMut::new();
        while let Some(data) = body.data().await {
            bytes.extend_from_slice(&data.map_err(EmbeddingError::Unreachable)?);
            if bytes.len() > MAX_BYTES_PER_TEXT * texts.len() {
                return Err(EmbeddingError::Unreadable("more than vectors need".to_owned()));
            }
        }
        Ok(bytes.freeze())
    }
}

/// The configuration as one of an instance, which says where requests go.
fn as_instance(conf: Embeddings) -> Result<InstanceConf, String> {
    let provider = conf.provider.name();
    let provider = Provider::find(provider).ok_or_else(|| format!("{provider} is not known"))?;
    let endpoint = conf
        .endpoint
        .map(|endpoint| config::Endpoint::parse(&endpoint).map_err(|error| error.to_string()))
        .transpose()?;
    let PlainAuth { header, query } = conf.auth;
    Ok(InstanceConf {
        provider,
        auth: Auth {
            header,
            query,
            ..Auth::default()
        },
        options: Options::default(),
        provider_conf: ProviderConf::default(),
        replaced: Override {
            endpoint,
            ..Override::default()
        },
    })
}

async fn read(answer: Bytes, count: usize) -> Result<Vec<Meaning>, EmbeddingError> {
    if answer.len() <= READ_ASIDE {
        return meanings_in(&answer, count);
    }
    tokio::task::spawn_blocking(move || meanings_in(&answer, count))
        .await
        .unwrap_or_else(|_| Err(unreadable("something that cannot be read")))
}

/// The meanings in an answer: one for each of `count` texts, in their order.
fn meanings_in(answer: &[u8], count: usize) -> Result<Vec<Meaning>, EmbeddingError> {
    #[derive(Deserialize)]
    struct Answer {
        data: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        /// Which text it is for; where it stands if not said.
        index: Option<f64>,
        embedding: Vec<f64>,
    }
    // Where and not what: the text of the error repeats what was found.
    let Answer { data } = serde_json::from_slice(answer).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(&format!(
            "something that is no list of vectors, in line {line} at {column}"
        ))
    })?;
    let mut found: Vec<Option<Meaning>> = vec![None; count];
    for (position, Entry { index, embedding }) in data.into_iter().enumerate() {
        let place = match index {
            None => found.get_mut(position),
            Some(index) => found
                .iter_mut()
                .enumerate()
                .find(|(number, _)| *number as f64 == index)
                .map(|(_, place)| place),
        };
        let place = place.ok_or_else(|| unreadable("vectors for texts that it was not asked about"))?;
        let meaning = Meaning::of(&embedding).ok_or_else(|| unreadable("a vector without numbers"))?;
        if place.replace(meaning).is_some() {
            return Err(unreadable("two vectors for one text"));
        }
    }
    found
        .into_iter()
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| unreadable("fewer vectors than it was asked for"))
}

/// Reads an answer with vectors. For the fuzzer.
pub(crate) fn fuzz_vectors(answer: &[u8], count: usize) -> Option<usize> {
    meanings_in(answer, count).ok().map(|meanings| meanings.len())
}

fn unreadable(what: &str) -> EmbeddingError {
    EmbeddingError::Unreadable(what.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn embedder(conf: Value) -> Result<Embedder, String> {
        Embedder::new(serde_json::from_value(conf).unwrap(), false)
    }

    fn meant(vector: &[f64]) -> Meaning {
        Meaning::of(vector).unwrap()
    }

    #[test]
    fn requests_go_where_the_vendor_is() {
        let bearer = json!({"header": {"Authorization": "Bearer sk-1"}});
        for (conf, host, path) in [
            (
                json!({"provider": "openai", "model": "m", "auth": bearer}),
                "api.openai.com",
                "/v1/embeddings",
            ),
            (
                json!({"provider": "openai", "model": "m", "auth": bearer, "endpoint": "http://here:8080"}),
                "here:8080",
                "/v1/embeddings",
            ),
            (
                json!({"provider": "azure-openai", "model": "m", "auth": {"query": {"k": "v"}},
                       "endpoint": "https://x.openai.azure.com/openai/deployments/d/embeddings?api-version=1"}),
                "x.openai.azure.com",
                "/openai/deployments/d/embeddings?k=v&api-version=1",
            ),
        ] {
            let embedder = embedder(conf).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(embedder.headers[HOST], host);
            assert_eq!(embedder.uri, path);
            assert_eq!(embedder.limit, Duration::from_secs(3));
        }
    }

    #[test]
    fn the_key_is_sent_and_hidden() {
        let conf =
            json!({"provider": "openai", "model": "m", "auth": {"header": {"Authorization": "Bearer sk-1"}}});
        let headers = embedder(conf).unwrap_or_else(|error| panic!("{error}")).headers;
        assert_eq!(headers["authorization"], "Bearer sk-1");
        assert!(headers["authorization"].is_sensitive());
        assert_eq!(headers["content-type"], "application/json");
        let conf = json!({"provider": "openai", "model": "m", "auth": {"header": {"Authorization": "sk\n"}}});
        assert!(embedder(conf).is_err_and(|problem| problem.contains("Authorization")));
    }

    #[test]
    fn vectors_are_put_in_the_order_of_the_texts() {
        let answer =
            br#"{"object":"list","data":[{"index":1,"embedding":[0,1]},{"index":0,"embedding":[1e0,0]}]}"#;
        assert_eq!(
            meanings_in(answer, 2).unwrap(),
            [meant(&[1.0, 0.0]), meant(&[0.0, 1.0])]
        );
        let unnumbered = br#"{"data":[{"embedding":[1,0]},{"index":null,"embedding":[0,1]}]}"#;
        assert_eq!(meanings_in(unnumbered, 2).unwrap().len(), 2);
    }

    #[test]
    fn an_answer_that_is_not_what_was_asked_for_gives_no_vectors_and_is_not_repeated() {
        for answer in [
            r#"{"data":[1,2,3]}"#,
            "42",
            "null",
            "no JSON: sk-secret",
            r#"{"data":"sk-secret"}"#,
            r#"{"data":[]}"#,
            r#"{"data":[{"index":0,"embedding":null}]}"#,
            r#"{"data":[{"index":0,"embedding":[]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1e999,0]}]}"#,
            r#"{"data":[{"index":0,"embedding":["sk-secret"]}]}"#,
            r#"{"data":[{"index":1,"embedding":[1]}]}"#,
            r#"{"data":[{"index":-1,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0.5,"embedding":[1]}]}"#,
            r#"{"data":[{"index":0,"embedding":[1]},{"index":0,"embedding":[1]}]}"#,
            r#"{"data":[{"embedding":[1]},{"embedding":[1]}]}"#,
        ] {
            let error = meanings_in(answer.as_bytes(), 1).expect_err(answer);
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn only_the_vendor_s_own_failures_are_an_outage() {
        assert!(EmbeddingError::Status(503).is_outage() && EmbeddingError::Status(429).is_outage());
        assert!(EmbeddingError::Late(Duration::ZERO).is_outage());
        assert!(!EmbeddingError::Status(400).is_outage() && !unreadable("x").is_outage());
    }
}

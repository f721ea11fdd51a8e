//! A small upstream: an API that takes a key, for the demo and the tests.

use axum::{Router, body::Bytes, extract::State, response::IntoResponse};
use http::{HeaderMap, Method, StatusCode, Uri};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// One request as the upstream saw it.
#[derive(Debug, Clone)]
pub struct Seen {
    /// The method.
    pub method: Method,
    /// The target.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Seen {
    /// A header's value; empty if it is absent or no text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

/// A running upstream. It ends when it is dropped.
pub struct Upstream {
    /// Where it is served, over plain HTTP.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    server: JoinHandle<io::Result<()>>,
}

impl Upstream {
    /// Starts one on a free port of loopback. It answers every request with a
    /// word of thanks in JSON, and `/redirect` with a redirect.
    ///
    /// # Errors
    /// No port is free.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let routes = Router::new().fallback(answer).with_state(Arc::clone(&seen));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        Ok(Self {
            address,
            seen,
            server,
        })
    }

    /// What it saw so far, which is then forgotten.
    #[must_use]
    pub fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A URL on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(
    State(seen): State<Arc<Mutex<Vec<Seen>>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let redirect = uri.path().ends_with("/redirect");
    seen.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(Seen {
            method,
            uri,
            headers,
            body,
        });
    let status = if redirect {
        StatusCode::FOUND
    } else {
        StatusCode::OK
    };
    (
        status,
        [
            ("content-type", "application/json"),
            ("location", "/elsewhere"),
        ],
        r#"{"thanks":"for the call"}"#,
    )
}

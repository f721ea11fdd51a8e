//! Upstreams on loopback, and what it takes to send to them.

use crate::dial::*;
use crate::{CertificateDer, CollectedAnswer, OutboundRequest, Policy, Resolving, inject};
use bytes::Bytes;
use envelope::SecretBytes;
use http::Method;
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

pub(super) const AMPLE: Duration = Duration::from_secs(20);
pub(super) const NOW: time::OffsetDateTime = time::OffsetDateTime::UNIX_EPOCH;
pub(super) const SECRET: &[u8] = b"canary-5ecret";

/// Answers from a list, one entry for each lookup, and counts them.
pub(super) struct Scripted {
    answers: Vec<Vec<SocketAddr>>,
    asked: AtomicUsize,
}

impl Scripted {
    pub(super) fn new(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |list: &&[&str]| {
            list.iter()
                .map(|it| SocketAddr::new(it.parse().unwrap(), 9))
                .collect()
        };
        Arc::new(Self {
            answers: answers.iter().map(parse).collect(),
            asked: AtomicUsize::new(0),
        })
    }

    pub(super) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, _host: &'a str, _port: u16) -> Resolving<'a> {
        let turn = self.asked.fetch_add(1, Ordering::SeqCst);
        let answer = self.answers.get(turn).cloned();
        Box::pin(async move { answer.ok_or_else(|| std::io::ErrorKind::NotFound.into()) })
    }
}

pub(super) fn throwaway() -> (CertificateDer<'static>, rcgen::CertifiedKey<rcgen::KeyPair>) {
    let key = rcgen::generate_simple_self_signed(["up.example".to_owned()]).unwrap();
    (key.cert.der().clone(), key)
}

pub(super) fn dialler_with(
    allow: &str,
    limits: Limits,
    resolver: Arc<dyn Resolve>,
    root: CertificateDer<'static>,
) -> Dialler {
    let guard = AddressGuard::parse_list(allow).unwrap();
    Dialler::new(guard, limits, resolver, Roots::Given(vec![root])).unwrap()
}

pub(super) fn dialler(allow: &str, limits: Limits, resolver: Arc<dyn Resolve>) -> Dialler {
    dialler_with(allow, limits, resolver, throwaway().0)
}

/// To loopback, whatever the name.
pub(super) fn local(limits: Limits) -> Dialler {
    dialler("127.0.0.0/8", limits, Scripted::new(&[&["127.0.0.1"]]))
}

pub(super) fn injected(
    method: Method,
    url: &str,
    headers: HeaderMap,
    body: &'static [u8],
) -> InjectedRequest {
    let url = CanonicalUrl::parse(url).unwrap();
    let policy = json!({"destinations": [{"url": url.without_query()}]});
    let policy = Policy::parse(&policy, None).unwrap();
    let request = OutboundRequest::new(method, url, headers, Bytes::from_static(body))
        .ok()
        .unwrap();
    inject(&policy, request, &SecretBytes::new(SECRET.to_vec()), NOW)
        .ok()
        .unwrap()
}

pub(super) fn get(url: &str) -> InjectedRequest {
    injected(Method::GET, url, HeaderMap::new(), b"")
}

/// Reads a request's head, and as much of a body as its length says.
pub(super) async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut seen = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&seen);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return text.into_owned();
            }
        }
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "the request broke off"
        );
    }
}

/// An upstream on loopback that takes one connection, answers it with these bytes,
/// and then gives back what it read.
pub(super) async fn upstream(answer: impl Into<Vec<u8>>) -> (u16, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let seen = read_request(&mut stream).await;
        // The dialler may hang up in the middle of an answer that is over its limit.
        let _ = stream.write_all(&answer).await;
        let _ = stream.shutdown().await;
        seen
    });
    (port, task)
}

/// An upstream that answers so and then neither says nor closes anything, until
/// the dialler does: then it reports.
pub(super) async fn stalling(answer: &'static [u8]) -> (u16, oneshot::Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (gone, is_gone) = oneshot::channel();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_request(&mut stream).await;
        stream.write_all(answer).await.unwrap();
        let closed = stream.read_u8().await;
        assert!(closed.is_err(), "more than one request on a connection");
        gone.send(()).unwrap();
    });
    (port, is_gone)
}

pub(super) async fn exchange(
    limits: Limits,
    answer: impl Into<Vec<u8>>,
) -> Result<CollectedAnswer, EgressError> {
    let (port, _seen) = upstream(answer).await;
    let answer = local(limits)
        .send(get(&format!("http://up.example:{port}/v1")), AMPLE)
        .await?;
    answer.collect(usize::MAX).await
}

/// A TLS upstream with this certificate; gives back the server name it was asked for.
pub(super) async fn tls_upstream(
    key: rcgen::CertifiedKey<rcgen::KeyPair>,
    alpn: &[u8],
) -> (u16, JoinHandle<Option<String>>) {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![key.cert.der().clone()],
            key.signing_key.serialize_der().try_into().unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![alpn.to_vec()];
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = TlsAcceptor::from(Arc::new(config))
            .accept(stream)
            .await
            .ok()?;
        let name = stream.get_ref().1.server_name().map(ToOwned::to_owned);
        read_request(&mut stream).await;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi")
            .await
            .unwrap();
        stream.shutdown().await.unwrap();
        name
    });
    (port, task)
}

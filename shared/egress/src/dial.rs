//! One request, one connection, one judged address.

use crate::{
    AddressGuard, CanonicalUrl, EgressError, Host, InjectedRequest, Resolve, Roots, RootsError,
    Scheme, UpstreamAnswer,
    answer::{Driver, Rest},
    tls,
    upload::{Outgoing, Upload},
};
use http::{
    HeaderMap, HeaderValue, Method, Request, StatusCode, Uri,
    header::{HOST, TRANSFER_ENCODING},
};
use http_body::Body;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

/// How much, and how long, a use may take. The default is for answers that are
/// collected; for what streams, see [`Limits::streamed`].
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body of a request, in bytes: 6 MiB. `usize::MAX` is no limit.
    pub request_body: usize,
    /// The largest body of an answer, in bytes, as it comes and decoded: 6 MiB.
    /// `usize::MAX` is no limit.
    pub response_body: usize,
    /// The largest head of an answer, in bytes: 64 KiB. Below 8 KiB counts as 8 KiB
    /// while it is read, which is the least buffer that hyper has.
    pub response_headers: usize,
    /// The most headers of an answer: 100.
    pub response_header_count: usize,
    /// For the lookup, TCP and TLS together: 5 s.
    pub connect: Duration,
    /// To the answer's head, from where the last of the request had gone out: 30 s.
    /// A body that the upstream does not take counts as well.
    pub first_byte: Duration,
    /// Between two pieces of the answer's body, as long as somebody waits for the next;
    /// and between two of the caller's body: 60 s.
    pub idle: Duration,
    /// For the whole use, to the last byte of the answer's body: 60 s.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_body: 6 * 1024 * 1024,
            response_body: 6 * 1024 * 1024,
            response_headers: 64 * 1024,
            response_header_count: 100,
            connect: Duration::from_secs(5),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// For bodies that stream: of any size, and 15 minutes for the whole use, which is
    /// what Lambda allows at the most. The rest is as by default.
    #[must_use]
    pub fn streamed() -> Self {
        Self {
            request_body: usize::MAX,
            response_body: usize::MAX,
            ..Self::default()
        }
        .with_total(Duration::from_secs(15 * 60))
    }

    /// Another limit for the whole use; running over it is [`EgressError::Timeout`].
    #[must_use]
    pub fn with_total(self, total: Duration) -> Self {
        Self { total, ..self }
    }

    /// Another limit for the answer's head; running over it is
    /// [`EgressError::FirstByteTimeout`].
    #[must_use]
    pub fn with_first_byte(self, first_byte: Duration) -> Self {
        Self { first_byte, ..self }
    }
}

/// Sends injected requests, each over a connection of its own.
///
/// It has no pool, follows no redirect, knows no proxy (nor the variables that name
/// one), and resumes no TLS session. A clone shares the resolver and the roots.
#[derive(Clone)]
pub struct Dialler {
    guard: AddressGuard,
    limits: Limits,
    resolver: Arc<dyn Resolve>,
    tls: Arc<ClientConfig>,
}

impl Dialler {
    /// A dialler. Reads the root certificates, so build it once.
    ///
    /// # Errors
    /// There is no usable root certificate.
    pub fn new(
        guard: AddressGuard,
        limits: Limits,
        resolver: Arc<dyn Resolve>,
        roots: Roots,
    ) -> Result<Self, RootsError> {
        Ok(Self {
            guard,
            limits,
            resolver,
            tls: tls::client_config(roots)?,
        })
    }

    /// Sends one request, and comes back with the answer's head; the body follows
    /// as it is read. `time` is what the caller has left for all of it. Dropping the
    /// future, the answer or its body closes the connection to the upstream.
    ///
    /// A redirect is an answer like any other: the secret was allowed to go to this
    /// URL, and nobody judged the next.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub async fn send(
        &self,
        request: InjectedRequest,
        time: Duration,
    ) -> Result<UpstreamAnswer, EgressError> {
        self.send_within(request, time, &self.limits).await
    }

    /// The same within limits of this one use.
    ///
    /// # Errors
    /// See [`EgressError`].
    pub async fn send_within(
        &self,
        request: InjectedRequest,
        time: Duration,
        limits: &Limits,
    ) -> Result<UpstreamAnswer, EgressError> {
        let largest = limits.request_body as u64;
        if request.body.known_length().is_some_and(|it| it > largest) {
            return Err(EgressError::RequestTooLarge);
        }
        let begun = Instant::now();
        let deadline = begun + time.min(limits.total);
        let connect_by = deadline.min(begun + limits.connect);
        let tcp = self.connect(&request.url, connect_by).await?;
        match request.url.scheme() {
            Scheme::Http => talk(tcp, request, deadline, limits).await,
            Scheme::Https => {
                let name = match request.url.host() {
                    Host::Ip(ip) => ServerName::from(*ip),
                    Host::Domain(name) => {
                        ServerName::try_from(name.clone()).map_err(|_| EgressError::Tls)?
                    }
                };
                let handshake = TlsConnector::from(self.tls.clone()).connect(name, tcp);
                let tls = timeout_at(connect_by, handshake)
                    .await
                    .map_err(|_| EgressError::ConnectTimeout)?
                    .map_err(|_| EgressError::Tls)?;
                talk(tls, request, deadline, limits).await
            }
        }
    }

    /// A TCP connection to an address that was judged. Addresses are tried in the
    /// resolver's order, each with its share of the time that is left.
    async fn connect(&self, url: &CanonicalUrl, by: Instant) -> Result<TcpStream, EgressError> {
        let addresses = timeout_at(by, self.judged(url))
            .await
            .map_err(|_| EgressError::ConnectTimeout)??;
        let mut failure = EgressError::Connect;
        for (tried, address) in addresses.iter().enumerate() {
            let left = by.saturating_duration_since(Instant::now());
            let untried = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
            match timeout_at(Instant::now() + left / untried, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => {
                    // Only a delay is at stake if the option does not hold.
                    let _ = tcp.set_nodelay(true);
                    return Ok(tcp);
                }
                Ok(Err(_)) => failure = EgressError::Connect,
                Err(_) => failure = EgressError::ConnectTimeout,
            }
        }
        Err(failure)
    }

    /// The addresses of a host, looked up once and every one of them judged.
    ///
    /// One refused address refuses the use. A name that points to a public and a
    /// private place at once is either a mistake or an attack; dialling the public
    /// one would hide both, and leave it to the resolver's order when it succeeds.
    async fn judged(&self, url: &CanonicalUrl) -> Result<Vec<SocketAddr>, EgressError> {
        let ips: Vec<IpAddr> = match url.host() {
            Host::Ip(ip) => vec![*ip],
            Host::Domain(name) => {
                let found = self.resolver.resolve(name, url.port()).await;
                found
                    .map_err(|_| EgressError::Resolve)?
                    .iter()
                    .map(SocketAddr::ip)
                    .collect()
            }
        };
        if ips.is_empty() {
            return Err(EgressError::Resolve);
        }
        for ip in &ips {
            self.guard.judge(*ip, url.scheme())?;
        }
        // Built anew from the judged part alone: the resolver's port and scope do not count.
        Ok(ips
            .into_iter()
            .map(|ip| SocketAddr::new(ip, url.port()))
            .collect())
    }
}

/// One request and the head of its answer.
async fn talk<S>(
    stream: S,
    request: InjectedRequest,
    deadline: Instant,
    limits: &Limits,
) -> Result<UpstreamAnswer, EgressError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let method = request.method.clone();
    let patterns = request.patterns.clone();
    let (request, upload) = assemble(request, limits)?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(limits.response_headers.max(8 * 1024))
        .max_headers(limits.response_header_count)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| EgressError::Protocol)?;
    let driver = Driver::spawn(connection);
    let answered = async {
        sender.send_request(request).await.map_err(|error| {
            if let Some(failed) = upload.failed() {
                failed
            } else if error.is_parse_too_large() {
                EgressError::TooLarge
            } else {
                EgressError::Protocol
            }
        })
    };
    let answer = head_in_time(answered, &upload, deadline, limits.first_byte).await??;
    // Interim answers (1xx) hyper passes over. We asked for no switch of protocols.
    if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(EgressError::Protocol);
    }
    let size: usize = answer
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size > limits.response_headers {
        return Err(EgressError::TooLarge);
    }
    let rest = Rest {
        driver,
        upload,
        limit: limits.response_body,
        idle: limits.idle,
        deadline,
    };
    UpstreamAnswer::new(answer, &method, rest, patterns)
}

/// Waits for the answer's head, no longer than the limit after the last piece of the
/// request went out.
async fn head_in_time<F: Future>(
    answered: F,
    upload: &Upload,
    deadline: Instant,
    first_byte: Duration,
) -> Result<F::Output, EgressError> {
    let mut answered = pin!(answered);
    loop {
        let by = upload.moved() + first_byte;
        if let Ok(answer) = timeout_at(by.min(deadline), answered.as_mut()).await {
            return Ok(answer);
        }
        let now = Instant::now();
        if now >= deadline {
            return Err(EgressError::Timeout);
        }
        if now >= upload.moved() + first_byte {
            return Err(EgressError::FirstByteTimeout);
        }
    }
}

/// The request as hyper takes it, its Host header first (RFC 9110, section 7.2) and
/// of the same URL that was judged.
fn assemble(
    request: InjectedRequest,
    limits: &Limits,
) -> Result<(Request<Outgoing>, Arc<Upload>), EgressError> {
    let InjectedRequest {
        method,
        url,
        target,
        headers,
        body,
        patterns: _,
    } = request;
    let host = HeaderValue::from_str(url.authority()).map_err(|_| EgressError::Protocol)?;
    let mut all = HeaderMap::with_capacity(headers.len() + 1);
    all.insert(HOST, host);
    all.extend(headers);
    let (body, upload) = Outgoing::new(body, limits.request_body as u64, limits.idle)?;
    // hyper sends no body of an unknown length with these unless it is told to.
    if matches!(method, Method::GET | Method::HEAD) && body.size_hint().exact().is_none() {
        all.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = all;
    Ok((request, upload))
}

#[cfg(test)]
mod tests;

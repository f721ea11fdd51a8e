//! One request, one connection, one judged address.

use crate::{
    AddressGuard, CanonicalUrl, EgressError, Host, InjectedRequest, Resolve, Roots, RootsError,
    Scheme, UpstreamAnswer, answer::Driver, tls,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header::HOST};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::{Instant, timeout_at},
};
use tokio_rustls::TlsConnector;

/// How much, and how long, a use may take. The default is what every deployment
/// runs with; tests have shorter ones.
#[derive(Debug, Clone)]
pub struct Limits {
    /// The largest body of a request, in bytes: 6 MiB.
    pub request_body: usize,
    /// The largest body of an answer, in bytes: 6 MiB.
    pub response_body: usize,
    /// The largest head of an answer, in bytes: 64 KiB. Below 8 KiB counts as 8 KiB
    /// while it is read, which is the least buffer that hyper has.
    pub response_headers: usize,
    /// The most headers of an answer: 100.
    pub response_header_count: usize,
    /// For the lookup, TCP and TLS together: 5 s.
    pub connect: Duration,
    /// From the standing connection to the answer's head: 30 s.
    pub first_byte: Duration,
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
            total: Duration::from_secs(60),
        }
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
        if request.body.len() > self.limits.request_body {
            return Err(EgressError::RequestTooLarge);
        }
        let begun = Instant::now();
        let deadline = begun + time.min(self.limits.total);
        let connect_by = deadline.min(begun + self.limits.connect);
        let tcp = self.connect(&request.url, connect_by).await?;
        match request.url.scheme() {
            Scheme::Http => self.exchange(tcp, request, deadline).await,
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
                self.exchange(tls, request, deadline).await
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

    /// One request and the head of its answer.
    async fn exchange<S>(
        &self,
        stream: S,
        request: InjectedRequest,
        deadline: Instant,
    ) -> Result<UpstreamAnswer, EgressError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let head_by = deadline.min(Instant::now() + self.limits.first_byte);
        let method = request.method.clone();
        let patterns = request.patterns.clone();
        let request = assemble(request)?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(self.limits.response_headers.max(8 * 1024))
            .max_headers(self.limits.response_header_count)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|_| EgressError::Protocol)?;
        let driver = Driver::spawn(connection);
        let answer = timeout_at(head_by, sender.send_request(request))
            .await
            .map_err(|_| EgressError::Timeout)?
            .map_err(|error| {
                if error.is_parse_too_large() {
                    EgressError::TooLarge
                } else {
                    EgressError::Protocol
                }
            })?;
        // Interim answers (1xx) hyper passes over. We asked for no switch of protocols.
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(EgressError::Protocol);
        }
        let size: usize = answer
            .headers()
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if size > self.limits.response_headers {
            return Err(EgressError::TooLarge);
        }
        let limit = self.limits.response_body;
        UpstreamAnswer::new(answer, &method, driver, limit, deadline, patterns)
    }
}

/// The request as hyper takes it, its Host header first (RFC 9110, section 7.2) and
/// of the same URL that was judged.
fn assemble(request: InjectedRequest) -> Result<Request<Full<bytes::Bytes>>, EgressError> {
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
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from(target);
    *request.headers_mut() = all;
    Ok(request)
}

#[cfg(test)]
mod tests;

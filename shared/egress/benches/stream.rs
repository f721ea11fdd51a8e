//! How much memory a body takes that streams out and back: no more than 32 MiB over
//! what there is before, however large it is. Fails if it is more.
//!
//! ```text
//! cargo test -p egress --bench stream                             64 MiB each way
//! EGRESS_STREAM_MIB=1024 cargo test -p egress --bench stream      1 GiB each way
//! ```
#![allow(clippy::print_stdout, reason = "it is for people")]
#![allow(clippy::unwrap_used, reason = "a failure is to be seen")]

use bytes::Bytes;
use egress::{
    AddressGuard, CanonicalUrl, Dialler, FixedResolver, Limits, MARK, OutboundRequest, Policy,
    RequestStream, Roots, inject,
};
use envelope::SecretBytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, Method};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::json;
use std::{
    convert::Infallible,
    io::Write,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use time::OffsetDateTime;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const MIB: usize = 1024 * 1024;
const MOST: usize = 32 * MIB;
const SECRET: &str = "sk_live_51H8xYz0QkTq09abCdEfGhIjKlMnOpQr";
const HOUR: Duration = Duration::from_secs(3600);

/// So many bytes in pieces of 64 KiB, each made where it is asked for.
struct Made(usize);

impl Body for Made {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.min(64 * 1024);
        self.0 -= length;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(vec![b'x'; length].into()))))
    }
}

/// Reads a request of any length in chunks while it answers with one of this length,
/// which has the secret in it once in each MiB.
async fn upstream(listener: TcpListener, mib: usize, gzipped: bool) {
    let (stream, _) = listener.accept().await.unwrap();
    // An answer that comes before its request is none.
    assert_eq!(stream.peek(&mut [0]).await.unwrap(), 1);
    let (mut from, mut to) = stream.into_split();
    let reading = tokio::spawn(async move {
        let mut piece = vec![0; 64 * 1024];
        let (mut seen, mut last) = (0, Vec::new());
        while !last.ends_with(b"\r\n0\r\n\r\n") {
            let length = from.read(&mut piece).await.unwrap();
            assert_ne!(length, 0, "the request broke off");
            seen += length;
            last.extend_from_slice(&piece[..length]);
            let from = last.len().saturating_sub(7);
            last.drain(..from);
        }
        seen
    });
    let encoding = if gzipped {
        "content-encoding: gzip\r\n"
    } else {
        ""
    };
    let head = format!("HTTP/1.1 200 OK\r\n{encoding}\r\n");
    to.write_all(head.as_bytes()).await.unwrap();
    let line = "What goes on is text of the usual kind, and has nothing to hide.\n";
    let mut page = line.repeat(MIB / line.len() + 1);
    page.truncate(MIB - SECRET.len());
    page.push_str(SECRET);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    for _ in 0..mib {
        if gzipped {
            encoder.write_all(page.as_bytes()).unwrap();
            to.write_all(&std::mem::take(encoder.get_mut()))
                .await
                .unwrap();
        } else {
            to.write_all(page.as_bytes()).await.unwrap();
        }
    }
    if gzipped {
        to.write_all(&encoder.finish().unwrap()).await.unwrap();
    }
    let seen = reading.await.unwrap();
    assert!(seen > mib * MIB, "{seen}");
}

async fn exchange(dialler: &Dialler, mib: usize, gzipped: bool) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let answering = tokio::spawn(upstream(listener, mib, gzipped));
    let url = CanonicalUrl::parse(&format!("http://127.0.0.1:{port}/")).unwrap();
    let policy = Policy::parse(&json!({"destinations": [{"url": url.as_str()}]}), None).unwrap();
    let body = RequestStream::new(Made(mib * MIB), None);
    let request = OutboundRequest::streamed(Method::POST, url, HeaderMap::new(), body)
        .ok()
        .unwrap();
    let secret = SecretBytes::new(SECRET.as_bytes().to_vec());
    let request = inject(&policy, request, &secret, OffsetDateTime::UNIX_EPOCH)
        .ok()
        .unwrap();
    let answer = dialler.send(request, HOUR).await.unwrap();
    let (_, _, mut body) = answer.pass_on().unwrap();
    let mut seen = 0;
    while let Some(frame) = body.frame().await {
        seen += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(
        seen,
        mib * (MIB - SECRET.len() + MARK.len()),
        "each secret became a mark"
    );
    answering.await.unwrap();
}

/// A line of `/proc/self/status`, in bytes (proc_pid_status(5)).
fn status(name: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

fn main() {
    let mib = std::env::var("EGRESS_STREAM_MIB").map_or(64, |mib| mib.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let key = rcgen::generate_simple_self_signed(["up.example".to_owned()]).unwrap();
    let dialler = Dialler::new(
        AddressGuard::parse_list("127.0.0.0/8").unwrap(),
        Limits::streamed().with_total(HOUR),
        Arc::new(FixedResolver::default()),
        Roots::Given(vec![key.cert.der().clone()]),
    )
    .unwrap();
    runtime.block_on(exchange(&dialler, 1, false));
    // The peak before is that of a use of 1 MiB, and what the allocator kept of it.
    let base = status("VmRSS");
    println!(
        "{:24} {:>8} {:>8} {:>12}",
        "answer", "MiB", "MB/s", "over base"
    );
    for gzipped in [false, true] {
        let begun = Instant::now();
        runtime.block_on(exchange(&dialler, mib, gzipped));
        let over = status("VmHWM").saturating_sub(base);
        let speed = (mib * MIB) as f64 / 1e6 / begun.elapsed().as_secs_f64();
        let name = if gzipped { "gzip" } else { "plain" };
        println!(
            "{name:24} {mib:8} {speed:8.0} {:8.1} MiB",
            over as f64 / MIB as f64
        );
        assert!(over <= MOST, "{name}: {over} bytes over the base of {base}");
    }
}

//! What streams through the program costs it no memory: as much each way, at once, as
//! `BYOK_TEST_STREAM_MIB` says, 64 MiB if it says nothing.

use crate::child::{Client, Folder, Program};
use serde_json::json;
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

const MIB: u64 = 1024 * 1024;
/// How much more than before the streams may have resident.
const MOST: u64 = 32 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_costs_no_memory_however_long_it_is() {
    let size = match std::env::var("BYOK_TEST_STREAM_MIB") {
        Ok(text) => text.parse::<u64>().unwrap() * MIB,
        Err(_) => 64 * MIB,
    };
    let upstream = upstream().await.unwrap();
    let folder = Folder::fresh();
    let program = Program::start(&folder);
    let client = program.client();
    let body = json!({
        "value": "the-secret-of-the-streams",
        "policy": {"destinations": [{"url": format!("http://{upstream}/")}]},
    });
    client.call("PUT", "/secrets/large", Some(&body), 201).await;
    // What is loaded and pooled at the first use is no stream's.
    both_ways(program.http, &client, MIB).await;
    program.forget_peak();
    let before = program.peak();
    both_ways(program.http, &client, size).await;
    let more = program.peak().saturating_sub(before);
    println!(
        "{} MiB each way: {} KiB over {} KiB",
        size / MIB,
        more / 1024,
        before / 1024
    );
    assert!(more <= MOST, "{} KiB more", more / 1024);
}

async fn both_ways(broker: SocketAddr, client: &Client, size: u64) {
    let (sent, came) = tokio::join!(send(broker, client, size), fetch(broker, client, size));
    assert_eq!(sent.unwrap(), size, "what the upstream took");
    assert_eq!(came.unwrap(), size, "what came back");
}

async fn send(broker: SocketAddr, client: &Client, size: u64) -> io::Result<u64> {
    let mut tcp = TcpStream::connect(broker).await?;
    let more = format!("content-length: {size}\r\n");
    tcp.write_all(&client.head("POST", "/via/large/taken", &more))
        .await?;
    fill(&mut tcp, size).await?;
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await?;
    let taken = answer.split("taken:").nth(1).unwrap_or_default();
    let taken = taken.split('.').next().unwrap_or_default();
    taken.parse().map_err(|_| io::Error::other(answer))
}

async fn fetch(broker: SocketAddr, client: &Client, size: u64) -> io::Result<u64> {
    let mut tcp = TcpStream::connect(broker).await?;
    let path = format!("/via/large/given/{size}");
    tcp.write_all(&client.head("GET", &path, "")).await?;
    drain(&mut tcp).await
}

/// An upstream that takes and gives bodies of any length, and keeps nothing of them.
async fn upstream() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            tokio::spawn(answer(tcp));
        }
    });
    Ok(address)
}

async fn answer(mut tcp: TcpStream) -> io::Result<()> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(at) = read.windows(4).position(|it| it == b"\r\n\r\n") {
            break at + 4;
        }
        if tcp.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    };
    let head = String::from_utf8_lossy(&read[..end]).into_owned();
    let length = |text: &str| text.split_whitespace().next()?.parse::<u64>().ok();
    if let Some(size) = head.split("/given/").nth(1).and_then(length) {
        tcp.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {size}\r\n\r\n").as_bytes())
            .await?;
        return fill(&mut tcp, size).await;
    }
    let size = head.split("content-length: ").nth(1).and_then(length);
    let size = size.ok_or_else(|| io::Error::other("no length"))?;
    let mut taken = (read.len() - end) as u64;
    let mut piece = vec![0; 256 * 1024];
    while taken < size {
        match tcp.read(&mut piece).await? {
            0 => break,
            more => taken += more as u64,
        }
    }
    let body = format!("taken:{taken}.");
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
    tcp.write_all((head + &body).as_bytes()).await
}

/// Lines of text, of so many bytes in all.
async fn fill(tcp: &mut TcpStream, size: u64) -> io::Result<()> {
    let piece = b"a line of text that is no secret, and 31 bytes more of the same\n".repeat(1024);
    let mut left = size;
    while left > 0 {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        tcp.write_all(&piece[..now]).await?;
        left -= now as u64;
    }
    Ok(())
}

/// The length of an answer's body, read to its end; chunked, as it has no length.
async fn drain(tcp: &mut TcpStream) -> io::Result<u64> {
    let mut tcp = tokio::io::BufReader::with_capacity(256 * 1024, tcp);
    let mut line = Vec::new();
    let mut all = 0;
    let mut piece = vec![0; 256 * 1024];
    // The head ends with an empty line.
    loop {
        read_line(&mut tcp, &mut line).await?;
        if line == b"\r\n" {
            break;
        }
    }
    loop {
        read_line(&mut tcp, &mut line).await?;
        let size = std::str::from_utf8(&line).unwrap_or_default().trim();
        let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
        let mut left = size + 2;
        while left > 0 {
            let now = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
            tcp.read_exact(&mut piece[..now]).await?;
            left -= now as u64;
        }
        if size == 0 {
            return Ok(all);
        }
        all += size;
    }
}

async fn read_line(
    tcp: &mut (impl tokio::io::AsyncBufRead + Unpin),
    line: &mut Vec<u8>,
) -> io::Result<()> {
    use tokio::io::AsyncBufReadExt;
    line.clear();
    match tcp.read_until(b'\n', line).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

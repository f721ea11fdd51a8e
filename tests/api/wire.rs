//! Connections whose every byte is a test's own: callers, and upstreams.

use crate::world::Tenant;
use serde_json::Value;
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// For what takes milliseconds on an idle machine.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(60), future)
        .await
        .unwrap_or_else(|_| panic!("not within a minute: {what}"))
}

/// One end of a connection.
pub(crate) struct Wire {
    tcp: TcpStream,
    read: Vec<u8>,
}

impl Wire {
    /// A connection to the port that the stack serves, whatever the edge of other tests.
    pub(crate) async fn to(tenant: &Tenant<'_>) -> Self {
        let tcp = TcpStream::connect(tenant.world.stack.http).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Self {
            tcp,
            read: Vec::new(),
        }
    }

    /// Says the head of a request through the pass-through, for a secret named `thing`.
    pub(crate) async fn ask(&mut self, tenant: &Tenant<'_>, method: &str, more: &str) {
        let path = tenant.path("/via/thing/v1/x");
        let token = &tenant.token;
        self.say(format!(
            "{method} {path} HTTP/1.1\r\nhost: broker\r\nauthorization: Bearer {token}\r\n{more}\r\n"
        ))
        .await;
    }

    pub(crate) async fn say(&mut self, text: impl AsRef<[u8]>) {
        soon("said", self.tcp.write_all(text.as_ref()))
            .await
            .unwrap();
    }

    /// Reads until a text has come; gives all up to its end.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        soon(text, async {
            loop {
                let found = self
                    .read
                    .windows(text.len())
                    .position(|window| window == text.as_bytes());
                if let Some(at) = found {
                    let rest = self.read.split_off(at + text.len());
                    let all = std::mem::replace(&mut self.read, rest);
                    return String::from_utf8(all).unwrap();
                }
                let more = self.tcp.read_buf(&mut self.read).await.unwrap();
                assert!(
                    more > 0,
                    "ended without {text:?}: {}",
                    String::from_utf8_lossy(&self.read)
                );
            }
        })
        .await
    }

    /// Reads until the other side has closed the connection, in order or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        soon("the end", async {
            while self
                .tcp
                .read_buf(&mut self.read)
                .await
                .is_ok_and(|more| more > 0)
            {}
        })
        .await;
        std::mem::take(&mut self.read)
    }
}

/// An upstream.
pub(crate) struct Script(TcpListener);

impl Script {
    pub(crate) async fn start() -> Self {
        Self(TcpListener::bind(("127.0.0.1", 0)).await.unwrap())
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.0.local_addr().unwrap())
    }

    /// The next connection, and the head of the request on it.
    pub(crate) async fn asked(&self) -> (Wire, String) {
        let (tcp, _) = soon("a connection", self.0.accept()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let mut wire = Wire {
            tcp,
            read: Vec::new(),
        };
        let head = wire.until("\r\n\r\n").await;
        (wire, head)
    }
}

/// The last audit record of a workspace, once it has an outcome.
pub(crate) async fn ended(tenant: &Tenant<'_>, kind: &str) -> Value {
    let mut last = Value::Null;
    crate::world::until("an outcome", async || {
        let audit = tenant.call("GET", "/audit", None).await.json();
        let records = audit["records"].as_array().unwrap();
        let found = records.iter().rev().find(|record| record["kind"] == kind);
        last = found.cloned().unwrap_or_default();
        last["outcome"].is_object()
    })
    .await;
    last
}

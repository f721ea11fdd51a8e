//! Names to addresses.

use std::{collections::HashMap, io, net::SocketAddr, pin::Pin};

/// A lookup under way.
pub type Resolving<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Looks a host's name up, once for each use. Whatever it answers is judged before
/// it is dialled, so that it needs no trust.
pub trait Resolve: Send + Sync {
    /// Every address of a host. The port is for the resolver to hand through; the
    /// dialler uses the URL's, whatever comes back.
    ///
    /// # Errors
    /// The name does not resolve.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a>;
}

/// The operating system's resolver (`getaddrinfo`).
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Resolving<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// A fixed table, for machines where names are not to leave: no other name resolves.
#[derive(Debug, Clone, Default)]
pub struct FixedResolver(HashMap<String, Vec<SocketAddr>>);

impl FixedResolver {
    /// A table of names, in lower case, and their addresses.
    #[must_use]
    pub fn new(table: impl IntoIterator<Item = (String, Vec<SocketAddr>)>) -> Self {
        Self(table.into_iter().collect())
    }
}

impl Resolve for FixedResolver {
    fn resolve<'a>(&'a self, host: &'a str, _port: u16) -> Resolving<'a> {
        let found = self.0.get(host).cloned();
        Box::pin(async move { found.ok_or_else(|| io::ErrorKind::NotFound.into()) })
    }
}

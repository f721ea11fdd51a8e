//! Whom TLS trusts, and how it is spoken.

use crate::CertificateDer;
use rustls::{
    ClientConfig, RootCertStore,
    client::Resumption,
    crypto::aws_lc_rs,
    version::{TLS12, TLS13},
};
use std::sync::Arc;

/// The certificates that an upstream's chain must end in.
pub enum Roots {
    /// Those of the operating system, or of the files that `SSL_CERT_FILE` and
    /// `SSL_CERT_DIR` name: whoever sets a function's environment chooses its trust.
    Native,
    /// These and no others.
    Given(Vec<CertificateDer<'static>>),
}

/// There is no usable root certificate, so no upstream could be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no usable root certificate")]
pub struct RootsError;

/// TLS 1.2 and 1.3 on aws-lc, ALPN `http/1.1` alone, no client certificate. Nothing
/// is resumed: a session ticket would join the uses of one workspace to another's.
pub(crate) fn client_config(roots: Roots) -> Result<Arc<ClientConfig>, RootsError> {
    let certificates = match roots {
        // A root that cannot be read is left out; the others hold.
        Roots::Native => rustls_native_certs::load_native_certs().certs,
        Roots::Given(certificates) => certificates,
    };
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(certificates);
    if store.is_empty() {
        return Err(RootsError);
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .expect("aws-lc has cipher suites for both versions")
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

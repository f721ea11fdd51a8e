//! use-secret under Lambda.

use api::{
    edge,
    settings::{self, Settings},
};
use egress::{AddressGuard, Dialler, Limits, Roots, SystemResolver};
use std::{sync::Arc, time::Duration};
use use_secret::{UseSecret, routes};

/// What is left of the 30 seconds after which API Gateway's HTTP API gives up, once
/// the outcome is stored.
const TIME: Duration = Duration::from_secs(20);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let guard =
        AddressGuard::parse_list(&settings::optional("EGRESS_ALLOW_CIDRS").unwrap_or_default())?;
    let function = UseSecret {
        api: settings.api(),
        unwrap: settings.kms().unwrap(),
        dialler: Dialler::new(
            guard,
            Limits::default(),
            Arc::new(SystemResolver),
            Roots::Native,
        )?,
        time: TIME,
    };
    edge::run(edge::finish(routes(function).into()), None).await
}

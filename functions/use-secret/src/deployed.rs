//! The function as its environment names it, for the programs that run under Lambda.

use crate::{Bulkhead, Seats, UseSecret};
use api::settings::{self, Settings};
use egress::{AddressGuard, Dialler, Limits, Roots, SystemResolver};
use std::{error::Error, sync::Arc, time::Duration};

/// What is left of the 30 seconds after which API Gateway's HTTP API gives up, once
/// the outcome is stored.
const TIME: Duration = Duration::from_secs(20);
/// What is left of the 15 minutes that a function may take at the most (AWS Lambda
/// Developer Guide, "Lambda quotas"), once the outcome is stored.
const STREAM_TIME: Duration = Duration::from_secs(15 * 60 - 10);

/// Builds the function from the process's environment.
///
/// # Errors
/// A variable is missing or malformed, or there are no root certificates.
pub fn deployed() -> Result<Arc<UseSecret>, Box<dyn Error + Send + Sync>> {
    let settings = Settings::from_env()?;
    let guard =
        AddressGuard::parse_list(&settings::optional("EGRESS_ALLOW_CIDRS").unwrap_or_default())?;
    Ok(Arc::new(UseSecret {
        api: settings.api(),
        unwrap: settings.kms()?.unwrap(),
        deployment_key: Settings::deployment_key()?,
        dialler: Dialler::new(
            guard,
            Limits::default(),
            Arc::new(SystemResolver),
            Roots::Native,
        )?,
        time: TIME,
        stream_time: STREAM_TIME,
        bulkhead: Bulkhead::new(Seats::default()),
    }))
}

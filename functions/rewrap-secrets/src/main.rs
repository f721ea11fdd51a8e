//! rewrap-secrets under Lambda.

use api::{
    edge,
    settings::{self, Settings, SettingsError},
};
use rewrap_secrets::{RewrapSecrets, invoke, routes};
use std::{num::NonZeroU32, sync::Arc, time::Duration};

/// How long one run of a job works: well within the function's own timeout, which also
/// covers a last page and its KMS calls.
const RUN: Duration = Duration::from_secs(60);
/// KMS calls a second, where the deployment does not say.
const RATE: NonZeroU32 = NonZeroU32::new(500).expect("500 is not 0");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let (job_mac, check_job) = settings.job_macs()?;
    let function = Arc::new(RewrapSecrets {
        api: settings.api(),
        rewrap: settings.kms()?.rewrap(),
        job_mac,
        check_job,
        deployment_key: Settings::deployment_key()?,
        rate: rate()?,
        run: RUN,
    });
    let served = edge::finish(routes(Arc::clone(&function)).into());
    edge::run(served, Some(invoke(function))).await
}

fn rate() -> Result<NonZeroU32, SettingsError> {
    let Some(text) = settings::optional("BYOK_REWRAP_RATE") else {
        return Ok(RATE);
    };
    text.parse().map_err(|_| SettingsError {
        name: "BYOK_REWRAP_RATE",
        rule: "must be a whole number above 0",
    })
}

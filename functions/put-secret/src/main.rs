//! put-secret under Lambda.

use api::{edge, settings::Settings};
use put_secret::{PutSecret, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let function = PutSecret {
        api: settings.api(),
        wrap: settings.kms()?.wrap(),
        deployment_key: Settings::deployment_key()?,
    };
    edge::run(edge::finish(routes(function).into()), None).await
}

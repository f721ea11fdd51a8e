//! delete-secret under Lambda.

use api::{edge, settings::Settings};
use delete_secret::{DeleteSecret, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let function = DeleteSecret {
        api: Settings::from_env()?.api(),
    };
    edge::run(edge::finish(routes(function).into()), None).await
}

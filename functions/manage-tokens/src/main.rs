//! manage-tokens under Lambda.

use api::{edge, settings::Settings};
use manage_tokens::{ManageTokens, routes};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    api::log::start();
    let settings = Settings::from_env()?;
    let function = ManageTokens {
        api: settings.api(),
        token_mac: settings.make_token_mac(),
    };
    edge::run(edge::finish(routes(function).into()), None).await
}
